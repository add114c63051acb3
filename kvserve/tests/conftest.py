"""The real bundled model, once per run: an engine in this process, a server in another."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import httpx
import pytest

from kvserve.config import EngineConfig
from kvserve.engine.engine import Engine
from kvserve.engine.sequence import Delta, SamplingParams, Sequence
from kvserve.errors import AccountsBroken
from kvserve.testing import start_server
from kvserve.weights.model_store import prepare_bundled_model

HELLO = [{"role": "user", "content": "Say hello."}]
LLM = "SmolLM2-135M-Instruct"
EMBEDDER = "all-MiniLM-L6-v2"


class Answer(NamedTuple):
    text: str
    last: Delta


class Reader:
    """Collects one sequence's deltas."""

    seq: Sequence

    def __init__(self) -> None:
        self.deltas: SimpleQueue[Delta] = SimpleQueue()

    def answer(self, timeout_s: float = 60.0) -> Answer:
        text = ""
        while True:
            delta = self.deltas.get(timeout=timeout_s)
            text += delta.text
            if delta.finish is not None:
                return Answer(text, delta)

    def finished(self) -> Sequence:
        self.answer()
        return self.seq


def ask(engine: Engine, prompt: str | list[int], *, priority: int = 0, **params) -> Reader:
    """Submit without waiting; greedy unless told otherwise."""
    tokens = engine.runner.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
    reader = Reader()
    sampling = SamplingParams(**{"max_tokens": 16, "temperature": 0.0, **params})
    reader.seq = engine.submit(
        prompt=tokens, params=sampling, sink=reader.deltas.put, priority=priority
    )
    return reader


def wait_idle(engine: Engine) -> None:
    """Until the engine has settled; proves that nothing is held."""
    deadline = time.monotonic() + 10
    while True:
        try:
            assert not engine.scheduler.has_work
            assert engine.blocks.num_free == engine.blocks.num_blocks
            engine.check_integrity()
            return
        except (AssertionError, AccountsBroken):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kvserve") / "models"


@pytest.fixture(scope="session")
def model_path(models_dir: Path) -> Path:
    return prepare_bundled_model(models_dir)


@contextmanager
def _engines(model_path: Path) -> Iterator[Callable[..., Engine]]:
    engines: list[Engine] = []

    def start(**options) -> Engine:
        engine = Engine(EngineConfig(model_path, **options), model_name="bundled")
        engine.start()
        engine.wait_ready()
        engines.append(engine)
        return engine

    yield start
    for engine in engines:
        engine.stop()
    assert all(engine.join(10) for engine in engines)


@pytest.fixture(scope="module")
def start_engine(model_path: Path) -> Iterator[Callable[..., Engine]]:
    """Return a function that starts an engine, which ends with its module."""
    with _engines(model_path) as start:
        yield start


@pytest.fixture(scope="session")
def engine(model_path: Path) -> Iterator[Engine]:
    with _engines(model_path) as start:
        yield start(kv_blocks=256, max_seqs=8)


@pytest.fixture(scope="session")
def server_url(models_dir: Path, model_path: Path) -> Iterator[str]:
    """The kvserve of this package's own tests, small enough to run into its limits."""
    options = ("--kv-blocks", "48", "--max-seqs", "8", "--embedder", "all-MiniLM-L6-v2")
    with start_server(models_dir.parent, free_port(), *options) as url:
        yield url


@pytest.fixture(scope="session")
def client(server_url: str) -> Iterator[Any]:
    """The real openai client, which shows errors instead of trying again."""
    import openai

    with openai.OpenAI(base_url=f"{server_url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def metric(server_url: str) -> Callable[[str], float]:
    """Read one figure of the server's /metrics."""

    def read(name: str) -> float:
        for line in httpx.get(f"{server_url}/metrics").text.splitlines():
            if line.startswith(f"{name}{{"):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError(f"no metric {name}")

    return read


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment() -> dict[str, str]:
    """For subprocesses that import this package."""
    root = Path(__file__).resolve().parents[2]
    return {**os.environ, "PYTHONPATH": str(root)}
