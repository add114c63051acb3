"""A real cross-encoder (tiny, with random weights) behind the real `/v1/rerank`."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kvserve.testing import free_port
from rag.retrieval import rerank as module
from rag.retrieval.search import search

WORDS = """
[PAD] [UNK] [CLS] [SEP] [MASK]
crac standby start gpu error filter battery leak water
"""


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """A BERT of one layer, saved as sentence-transformers saves a CrossEncoder."""
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    bare, saved = tmp_path_factory.mktemp("bare"), tmp_path_factory.mktemp("models") / "tiny-cross"
    torch.manual_seed(4)
    shape: dict[str, Any] = {
        "num_labels": 1,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = BertConfig(
        vocab_size=len(WORDS.split()),
        intermediate_size=32,
        max_position_embeddings=128,
        **shape,
    )
    BertForSequenceClassification(config).save_pretrained(bare)
    (bare / "vocab.txt").write_text("\n".join(WORDS.split()))
    BertTokenizer(str(bare / "vocab.txt")).save_pretrained(bare)
    CrossEncoder(str(bare), device="cpu", max_length=64).save_pretrained(str(saved))
    return saved


@pytest.fixture(scope="session")
def server(folder) -> Iterator[str]:
    """kvserve's application with a reranker; its language model is not started."""
    import uvicorn

    from kvserve.api.app import create_app
    from kvserve.api.service import Service
    from kvserve.config import EngineConfig
    from kvserve.engine.engine import Engine
    from kvserve.reranker import Reranker

    engine = Engine(EngineConfig(model_path=folder / "none.gguf"), model_name="none")
    service = Service(engine, None, reranker=Reranker(folder))
    assert service.reranker is not None
    service.reranker.start()
    port = free_port()
    config = uvicorn.Config(create_app(service), port=port, log_level="warning")
    runner = uvicorn.Server(config)
    thread = threading.Thread(target=runner.run, daemon=True)
    thread.start()
    while not runner.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    runner.should_exit = True
    thread.join(5)
    service.reranker.stop()


@pytest.fixture
def reranker(server, settings, monkeypatch) -> str:
    settings.RERANK_URLS, settings.RERANK_MODEL = [server], "tiny-cross"
    monkeypatch.setattr(module, "_resting", {})
    return server


def test_it_scores_as_the_model_itself_does(server, folder):
    from sentence_transformers import CrossEncoder

    texts = ["crac standby", "gpu error", "water leak"]
    body = {"model": "tiny-cross", "query": "start crac", "documents": texts, "top_n": 2}
    answer = httpx.post(f"{server}/v1/rerank", json=body | {"return_documents": True}).json()

    own = CrossEncoder(str(folder), device="cpu").predict([("start crac", text) for text in texts])
    order = sorted(range(3), key=lambda index: -own[index])[:2]
    assert [item["index"] for item in answer["results"]] == order
    assert [item["relevance_score"] for item in answer["results"]] == pytest.approx(
        [float(own[index]) for index in order], abs=1e-5
    )
    assert answer["results"][0]["document"] == {"text": texts[order[0]]}
    assert answer["usage"]["total_tokens"] == 3 * (3 + 2 + 2), "[CLS] query [SEP] text [SEP]"


def test_it_takes_documents_as_objects_and_refuses_what_is_wrong(server):
    body = {"query": "start crac", "documents": [{"text": "gpu"}, {"text": "crac"}]}
    assert len(httpx.post(f"{server}/v1/rerank", json=body).json()["results"]) == 2
    wrongs: list[dict[str, Any]] = [{"documents": []}, {"query": ""}, {"model": "another"}]
    for wrong in wrongs:
        assert 400 <= httpx.post(f"{server}/v1/rerank", json=body | wrong).status_code < 500


def test_it_reorders_the_hits_of_a_search(corpus, engine, reranker):
    plain = search(query="start the standby crac", k=5, rerank=False)
    result = search(query="start the standby crac", k=5)

    scores = [hit.rerank_score for hit in result.hits if hit.rerank_score is not None]
    assert len(scores) == len(result.hits)
    assert scores == sorted(scores, reverse=True)
    assert result.degraded == ""
    assert result.explanation.reranked
    assert all(hit.rerank_score is None for hit in plain.hits)


def test_it_keeps_the_order_when_the_server_is_down_and_lets_it_rest(
    corpus, engine, reranker, settings
):
    settings.RERANK_URLS = ["http://127.0.0.1:9"]
    plain = search(query="start the standby crac", k=5, rerank=False)
    result = search(query="start the standby crac", k=5)
    again = search(query="start the standby crac", k=5)

    order = [hit.passage_id for hit in plain.hits]
    assert [hit.passage_id for hit in result.hits] == order
    assert result.degraded == "The reranker does not answer; order without it."
    assert again.degraded == "The reranker failed a moment ago; order without it."
    assert not result.explanation.reranked


def test_it_says_when_none_is_configured(corpus, engine, settings):
    settings.RERANK_URLS = []
    asked = search(query="start the standby crac", rerank=True)
    assert asked.degraded == "No reranker is configured (OPS_RERANK_URL)."
    assert search(query="start the standby crac").degraded == ""
