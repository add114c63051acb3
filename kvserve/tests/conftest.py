"""The real bundled model, once per run: an engine in this process, a server in another."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import pytest

from kvserve.config import EngineConfig
from kvserve.engine import Engine
from kvserve.model_store import prepare_bundled_model
from kvserve.sequence import Delta, SamplingParams, Sequence
from kvserve.testing import start_server


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


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kvserve") / "models"


@pytest.fixture(scope="session")
def model_path(models_dir: Path) -> Path:
    return prepare_bundled_model(models_dir)


@pytest.fixture(scope="session")
def start_engine(model_path: Path) -> Iterator[Callable[..., Engine]]:
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


@pytest.fixture(scope="session")
def engine(start_engine: Callable[..., Engine]) -> Engine:
    return start_engine(kv_blocks=256, max_seqs=8)


@pytest.fixture(scope="session")
def server_url(models_dir: Path, model_path: Path) -> Iterator[str]:
    """The kvserve of this package's own tests, small enough to run into its limits."""
    options = ("--kv-blocks", "48", "--max-seqs", "8", "--embedder", "all-MiniLM-L6-v2")
    with start_server(models_dir.parent, free_port(), *options) as url:
        yield url


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment() -> dict[str, str]:
    """For subprocesses that import this package."""
    root = Path(__file__).resolve().parents[2]
    return {**os.environ, "PYTHONPATH": str(root)}
