"""Models, tokens, health, metrics and embeddings over HTTP, and many requests at once."""

import math
import threading

import httpx
import pytest

from kvserve.tests.conftest import EMBEDDER, HELLO, LLM


def test_it_lists_llm_and_embedder(client) -> None:
    assert [model.id for model in client.models.list()] == [LLM, EMBEDDER]
    assert client.models.retrieve(LLM).owned_by == "kvserve"


def test_it_says_how_it_is(server_url) -> None:
    answer = httpx.get(f"{server_url}/health")
    assert answer.status_code == 200
    report = answer.json()
    assert report["llm"].pop("attention") in ("paged", "stock")
    report["llm"].pop("attention_reason", None)
    assert report["llm"].pop("products") in ("packed", "stock")
    report["llm"].pop("products_reason", None)
    assert report == {
        "status": "ok",
        "llm": {"state": "ready", "model": LLM, "max_model_len": 768},
        "embedder": {"state": "ready", "model": EMBEDDER},
    }


def test_it_tokenizes_there_and_back(server_url) -> None:
    text = "Kühlung: 18 °C → 27 °C"
    tokens = httpx.post(f"{server_url}/tokenize", json={"prompt": text}).json()
    assert tokens["count"] == len(tokens["tokens"]) > 5
    back = httpx.post(f"{server_url}/detokenize", json={"tokens": tokens["tokens"]})
    assert back.json() == {"prompt": text}
    named = httpx.post(
        f"{server_url}/tokenize", json={"prompt": text, "return_token_strs": True}
    ).json()
    assert len(named["token_strs"]) == named["count"]
    assert tokens["max_model_len"] == 768
    chat = httpx.post(f"{server_url}/tokenize", json={"messages": HELLO}).json()
    assert chat["tokens"][0] == 1


def test_it_counts_under_vllms_names(client, metric) -> None:
    before = metric("vllm:generation_tokens_total")
    client.completions.create(model=LLM, prompt="a", max_tokens=3, extra_body={"ignore_eos": True})
    assert metric("vllm:generation_tokens_total") == before + 3
    assert metric("vllm:kv_cache_usage_perc") == 0
    for name in ("time_to_first_token_seconds_count", "e2e_request_latency_seconds_count"):
        assert metric(f"vllm:{name}") > 0
    assert metric("vllm:num_preemptions_total") >= 0


def test_it_serves_many_at_once_in_a_pool_too_small_for_all(client, metric) -> None:
    before = metric("vllm:num_preemptions_total")
    answers: list[int] = []

    def ask(number: int) -> None:
        answer = client.completions.create(
            model=LLM, prompt=f"{number}", max_tokens=100, extra_body={"ignore_eos": True}
        )
        answers.append(answer.usage.completion_tokens)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [100] * 10
    assert metric("vllm:num_preemptions_total") > before


def test_it_embeds_as_floats_and_base64(client) -> None:
    texts = ["The pump has failed.", "A pump broke down.", "Bread is baked in an oven."]
    packed = client.embeddings.create(model=EMBEDDER, input=texts)  # the SDK asks for base64
    plain = client.embeddings.create(model=EMBEDDER, input=texts, encoding_format="float")
    a, b, c = (item.embedding for item in packed.data)
    assert len(a) == 384
    assert math.isclose(math.hypot(*a), 1, abs_tol=1e-3)
    assert a == pytest.approx(plain.data[0].embedding, abs=1e-6)
    assert math.sumprod(a, b) > math.sumprod(a, c) + 0.3 if hasattr(math, "sumprod") else True
    assert packed.usage.prompt_tokens > 10
