"""Two models and an adapter in one server: each request gets the model it named, none is lost."""

import asyncio
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import httpx
import psutil
import pytest

from kvserve.config import EngineConfig
from kvserve.engine.engine import Engine
from kvserve.engine.sequence import SamplingParams
from kvserve.errors import NotReady, QueueFull
from kvserve.testing import start_server
from kvserve.tests.conftest import Reader, free_port
from kvserve.tests.lora import random_pairs, write_adapter
from kvserve.weights.catalogue import Catalogue
from kvserve.weights.model_pool import ModelPool
from kvserve.weights.model_store import BUNDLED_MODEL_ID, PREPARED_NAME
from kvserve.weights.requantise import requantise

pytestmark = pytest.mark.slow

BUNDLED, SMALL = BUNDLED_MODEL_ID, "small"
PROMPT = "The chiller of the second hall"
SIZES = {"kv_blocks": 64, "max_seqs": 4}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory, model_path) -> Path:
    folder = tmp_path_factory.mktemp("swap")
    (folder / "models").mkdir()
    (folder / "adapters").mkdir()
    os.link(model_path, folder / "models" / PREPARED_NAME)
    requantise(model_path, folder / "models" / f"{SMALL}.gguf", "q4_0")
    (folder / "models" / "broken.gguf").write_bytes(b"GGUF" + bytes(100))
    write_adapter(folder / "adapters" / "tuned.gguf", random_pairs(1))
    (folder / "adapters" / "broken.gguf").write_bytes(b"GGUF" + bytes(100))
    return folder


@pytest.fixture(scope="module")
def server(data_dir):
    options = ("--kv-blocks", "64", "--max-seqs", "4", "--embedder", "none")
    with (
        start_server(data_dir, free_port(), *options, "--model-turn-s", "1") as url,
        httpx.Client(base_url=url, timeout=120) as client,
    ):
        yield client


def complete(server: httpx.Client, model: str, **body) -> httpx.Response:
    asked = {"model": model, "prompt": PROMPT, "max_tokens": 12, "temperature": 0, **body}
    return server.post("/v1/completions", json=asked)


def text_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["text"])


def states(server: httpx.Client) -> dict[str, str]:
    return {card["id"]: card.get("state", "") for card in server.get("/v1/models").json()["data"]}


def error_of(answer: httpx.Response) -> dict[str, str]:
    error: dict[str, str] = answer.json()["error"]
    return error


# --- over HTTP ---------------------------------------------------------------------------------


def test_a_request_brings_the_model_it_names(server) -> None:
    first = text_of(complete(server, BUNDLED))
    assert states(server) == {BUNDLED: "loaded", SMALL: "available", "broken": "available"}
    answer = complete(server, SMALL)
    assert text_of(answer) != first
    assert answer.json()["model"] == SMALL
    assert states(server)[SMALL] == "loaded"
    assert server.get("/health").json()["llm"]["model"] == SMALL
    assert text_of(complete(server, "")) == first, "no name means the default, which comes back"


def test_requests_of_both_models_are_all_answered_by_their_own(server) -> None:
    expected = {model: text_of(complete(server, model)) for model in (BUNDLED, SMALL)}
    asked = [BUNDLED, SMALL] * 10
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda model: complete(server, model), asked))
    assert [answer.json()["model"] for answer in answers] == asked
    for model, answer in zip(asked, answers, strict=True):
        assert text_of(answer)[:10] == expected[model][:10]


def test_steady_traffic_of_both_alternates(server) -> None:
    """Each model has two clients that ask again at once; the turn is a second."""
    served: list[tuple[float, str]] = []
    end = time.monotonic() + 7

    def client(model: str) -> None:
        while time.monotonic() < end:
            text_of(complete(server, model))
            served.append((time.monotonic(), model))

    threads = [threading.Thread(target=client, args=(m,)) for m in (BUNDLED, SMALL) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    order = [model for _, model in sorted(served)]
    changes = sum(one != other for one, other in pairwise(order))
    assert changes >= 2, "both come to their turn, more than once"
    assert changes < len(order) / 2, "a turn serves many requests"


def test_accepted_requests_finish_before_the_model_changes(server) -> None:
    text_of(complete(server, BUNDLED))
    time.sleep(1.1)  # its turn is over as soon as another is asked for
    ends: dict[str, float] = {}

    def ask(name: str, model: str, **body) -> None:
        text_of(complete(server, model, ignore_eos=True, **body))
        ends[name] = time.monotonic()

    early = [
        threading.Thread(target=ask, args=(f"early {n}", BUNDLED), kwargs={"max_tokens": 60})
        for n in range(6)  # two more than run together
    ]
    other = threading.Thread(target=ask, args=("other", SMALL))
    late = threading.Thread(target=ask, args=("late", BUNDLED))
    for thread in early:
        thread.start()
    time.sleep(0.3)
    other.start()
    time.sleep(0.3)
    late.start()
    for thread in (*early, other, late):
        thread.join()
    assert max(end for name, end in ends.items() if name.startswith("early")) < ends["other"]
    assert ends["other"] < ends["late"]


def test_a_stream_waits_for_its_model_too(server) -> None:
    text_of(complete(server, BUNDLED))
    body = {"model": SMALL, "prompt": PROMPT, "max_tokens": 4, "stream": True}
    with server.stream("POST", "/v1/completions", json=body) as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert answer.status_code == 200
    assert lines[-1] == "data: [DONE]"
    assert f'"model": "{SMALL}"' in lines[0]


def test_a_client_that_goes_away_leaves_the_line(server) -> None:
    text_of(complete(server, BUNDLED))
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(complete, server, BUNDLED, max_tokens=400, ignore_eos=True)
        time.sleep(0.5)
        with pytest.raises(httpx.ReadTimeout):
            server.post("/v1/completions", json={"model": SMALL, "prompt": PROMPT}, timeout=1)
        text_of(busy.result())
    time.sleep(0.3)
    assert states(server)[BUNDLED] == "loaded", "nobody waits for the other any more"


def test_a_model_that_cannot_be_loaded_fails_its_own_requests_only(server) -> None:
    text_of(complete(server, BUNDLED))
    with ThreadPoolExecutor(2) as pool:
        broken = pool.submit(complete, server, "broken")
        beside = pool.submit(complete, server, BUNDLED)
        assert broken.result().status_code == 503
        assert "the model broken could not be loaded" in error_of(broken.result())["message"]
        text_of(beside.result())
    text_of(complete(server, BUNDLED))
    assert states(server)[BUNDLED] == "loaded"


def test_an_administrator_changes_the_default(server) -> None:
    answer = server.post("/v1/models/load", json={"model": SMALL})
    assert answer.json() == {"model": SMALL, "state": "loaded"}
    assert complete(server, "").json()["model"] == SMALL
    assert server.get("/v1/models").json()["data"][0]["id"] == SMALL
    assert server.post("/v1/models/load", json={"model": BUNDLED}).status_code == 200
    unknown = server.post("/v1/models/load", json={"model": "none"})
    assert unknown.status_code == 404
    assert error_of(unknown)["code"] == "model_not_found"


def test_the_memory_of_the_old_model_is_free(server, data_dir) -> None:
    port = server.base_url.port
    process = next(
        found
        for found in psutil.process_iter(["cmdline"])
        if f"{port}" in (found.info["cmdline"] or []) and str(data_dir) in found.info["cmdline"]
    )
    loaded = []
    for _ in range(2):
        for model in (SMALL, BUNDLED):
            text_of(complete(server, model))
        loaded.append(process.memory_info().rss >> 20)
    weights = (data_dir / "models" / PREPARED_NAME).stat().st_size >> 20
    # A model that stayed would be two sets of weights a round; the allocator's own share varies.
    assert loaded[-1] - loaded[0] < weights / 2, loaded


# --- adapters over HTTP --------------------------------------------------------------------------


def load_adapter(server: httpx.Client, name: str, path: str) -> httpx.Response:
    body = {"lora_name": name, "lora_path": path}
    return server.post("/v1/load_lora_adapter", json=body)


def test_an_adapter_is_loaded_chosen_and_unloaded(server) -> None:
    base = text_of(complete(server, BUNDLED))
    answer = load_adapter(server, "tuned", "tuned.gguf")
    assert answer.status_code == 200, answer.text
    card = server.get("/v1/models/tuned").json()
    assert (card["parent"], card["root"]) == (BUNDLED, "tuned.gguf")
    tuned = complete(server, "tuned")
    assert tuned.json()["model"] == "tuned"
    assert text_of(tuned) != base
    assert text_of(complete(server, BUNDLED)) == base
    complete(server, SMALL)
    assert text_of(complete(server, "tuned")) == text_of(tuned), "it comes back with its model"
    gone = server.post("/v1/unload_lora_adapter", json={"lora_name": "tuned"})
    assert gone.status_code == 200
    refused = complete(server, "tuned")
    assert refused.status_code == 404
    assert error_of(refused)["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("name", "path", "why"),
    [
        ("bad", "missing.gguf", "cannot read"),
        ("bad", "broken.gguf", "is not a whole GGUF file"),
        ("bad", "../models/small.gguf", "must lie in the server's adapter folder"),
        ("bad", "/etc/passwd", "must lie in the server's adapter folder"),
        ("no good", "tuned.gguf", "use letters, digits"),
        (SMALL, "tuned.gguf", "is taken by a model"),
    ],
)
def test_a_bad_adapter_is_a_clear_400(server, name, path, why) -> None:
    answer = load_adapter(server, name, path)
    assert answer.status_code == 400
    assert error_of(answer)["type"] == "invalid_request_error"
    assert why in error_of(answer)["message"]
    text_of(complete(server, BUNDLED))


# --- the pool itself -----------------------------------------------------------------------------


@pytest.fixture
def new_pool(data_dir):
    pools: list[ModelPool] = []

    def new(**options) -> ModelPool:
        path = data_dir / "models" / PREPARED_NAME
        config = EngineConfig(path, **{**SIZES, **options})
        catalogue = Catalogue(BUNDLED, config, models_dir=data_dir / "models")
        engine = Engine(config, model_name=BUNDLED)
        engine.start()
        engine.wait_ready()
        pools.append(
            ModelPool(
                engine,
                new_engine=lambda name: Engine(catalogue.config_for(name), model_name=name),
                turn_s=0.2,
            )
        )
        return pools[-1]

    yield new
    for pool in pools:
        pool.stop()
        assert pool.engine.join(10)


async def test_a_waiter_that_gives_up_leaves_the_line(new_pool) -> None:
    pool = new_pool()
    lease = await pool.enter(BUNDLED)
    waiting = asyncio.create_task(pool.enter(SMALL))
    await asyncio.sleep(0.5)
    assert [waiter.model for waiter in pool.waiting] == [SMALL]
    late = asyncio.create_task(pool.enter(BUNDLED))
    await asyncio.sleep(0.1)
    assert not late.done(), "the turn is over: who comes now waits"
    waiting.cancel()
    (await asyncio.wait_for(late, 5)).leave()
    lease.leave()
    await asyncio.sleep(0.1)
    assert pool.engine.model_name == BUNDLED
    assert not pool.waiting


async def test_the_line_is_bounded_and_keeps_its_order(new_pool) -> None:
    pool = new_pool(max_waiting=3)
    lease = await pool.enter(BUNDLED)
    order: list[str] = []

    async def wait(name: str, model: str, priority: int) -> None:
        entered = await pool.enter(model, priority=priority)
        order.append(name)
        entered.leave()

    tasks = [
        asyncio.create_task(wait("batch", SMALL, 2)),
        asyncio.create_task(wait("chat", SMALL, 0)),
        asyncio.create_task(wait("agent", SMALL, 1)),
    ]
    await asyncio.sleep(0.1)
    with pytest.raises(QueueFull, match="3 requests are waiting for a model"):
        await pool.enter(SMALL)
    lease.leave()
    await asyncio.wait_for(asyncio.gather(*tasks), 60)
    assert order == ["chat", "agent", "batch"]


async def test_an_engine_is_not_freed_under_a_running_request(new_pool) -> None:
    pool = new_pool()
    lease = await pool.enter(BUNDLED)
    reader = Reader()
    params = SamplingParams(max_tokens=80, temperature=0, ignore_eos=True)
    lease.engine.submit(prompt=[1, 2, 3], params=params, sink=reader.deltas.put)
    other = asyncio.create_task(pool.enter(SMALL))
    answer = await asyncio.to_thread(reader.answer)
    assert answer.last.num_completion_tokens == 80
    assert not other.done()
    lease.leave()
    entered = await asyncio.wait_for(other, 60)
    assert entered.engine.model_name == SMALL
    entered.leave()
    entered.leave()  # a second time does nothing
    assert (await pool.enter(SMALL)).engine is entered.engine


async def test_stopping_answers_those_who_wait(new_pool) -> None:
    pool = new_pool()
    lease = await pool.enter(BUNDLED)
    waiting = asyncio.create_task(pool.enter(SMALL))
    await asyncio.sleep(0.05)
    pool.stop()
    with pytest.raises(NotReady, match="shutting down"):
        await waiting
    lease.leave()
    with pytest.raises(NotReady):
        await pool.enter(SMALL)


async def test_the_line_survives_the_loss_of_both_models(new_pool, data_dir, tmp_path) -> None:
    pool = new_pool()
    aside = tmp_path / "aside"
    shutil.copytree(data_dir / "models", aside)
    try:
        for path in (data_dir / "models").iterdir():
            path.unlink()
        with pytest.raises(NotReady, match="could not be loaded"):
            await pool.enter(SMALL)
        with pytest.raises(NotReady, match="could not be loaded"):
            await pool.enter(BUNDLED)
    finally:
        shutil.copytree(aside, data_dir / "models", dirs_exist_ok=True)
    entered = await pool.enter(BUNDLED)
    entered.engine.require_ready()
    entered.leave()
