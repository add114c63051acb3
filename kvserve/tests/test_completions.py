"""POST /v1/completions, driven by the real openai client."""

import pytest

from kvserve.tests.conftest import LLM


def test_it_makes_n_choices_of_several_prompts(client) -> None:
    answer = client.completions.create(
        model=LLM, prompt=["One, two,", "Three, four,"], n=2, max_tokens=4, seed=1
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.usage.completion_tokens <= 16


def test_it_reports_logprobs_of_a_completion_and_obeys_a_bias(client) -> None:
    arguments = {"model": LLM, "prompt": "The sky is", "max_tokens": 3, "temperature": 0}
    free = client.completions.create(**arguments, logprobs=2).choices[0]
    assert len(free.logprobs.token_logprobs) == len(free.logprobs.tokens) == 3
    assert free.logprobs.text_offset[1] == len(free.logprobs.tokens[0])
    first = max(free.logprobs.top_logprobs[0], key=free.logprobs.top_logprobs[0].get)
    assert first == free.logprobs.tokens[0]
    biased = client.completions.create(**arguments, logit_bias={"30": 100}).choices[0]
    assert (
        biased.text
        == client.completions.create(**arguments, logit_bias={"30": 100}).choices[0].text
        != free.text
    )


def test_it_says_how_much_of_a_prompt_was_cached(client, metric) -> None:
    prompt = "Chillers reject heat to the condenser water loop. " * 8
    before = metric("vllm:prefix_cache_hits_total")
    arguments = {"model": LLM, "prompt": prompt, "max_tokens": 2}

    def cached(**extra) -> int:
        answer = client.completions.create(**arguments, extra_body=extra)
        return answer.usage.prompt_tokens_details.cached_tokens

    assert cached(cache_salt="one") == 0
    assert cached(cache_salt="one") >= 64
    assert cached(cache_salt="two") == 0
    assert metric("vllm:prefix_cache_hits_total") >= before + 64
    assert metric("vllm:prefix_cache_queries_total") > metric("vllm:prefix_cache_hits_total")


def test_it_stops_at_a_stop_string(client) -> None:
    answer = client.completions.create(
        model=LLM, prompt="one two three four five six", max_tokens=30, temperature=0, stop=[" "]
    )
    assert " " not in answer.choices[0].text
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("prompt", ["The sky is", [504, 8042, 314]])
def test_it_echoes_the_prompt(client, prompt) -> None:
    arguments = {"model": LLM, "prompt": prompt, "max_tokens": 4, "temperature": 0}
    answer = client.completions.create(**arguments).choices[0].text
    echoed = client.completions.create(**arguments, echo=True).choices[0].text
    assert echoed.endswith(answer)
    if isinstance(prompt, str):
        assert echoed == prompt + answer
    chunks = list(client.completions.create(**arguments, echo=True, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == echoed


def test_it_takes_best_of_that_equals_n(client) -> None:
    answer = client.completions.create(model=LLM, prompt="a", n=2, best_of=2, max_tokens=2)
    assert len(answer.choices) == 2


def test_it_gives_each_choice_a_seed_of_its_own(client) -> None:
    arguments = {"model": LLM, "prompt": "A pump", "max_tokens": 8, "temperature": 1.5, "seed": 7}
    answer = client.completions.create(**arguments, n=3)
    assert len({choice.text for choice in answer.choices}) == 3


def test_it_streams_usage_last(client) -> None:
    stream = client.completions.create(
        model=LLM, prompt="a", max_tokens=3, stream=True, stream_options={"include_usage": True},
        extra_body={"ignore_eos": True},
    )  # fmt: skip
    *chunks, last = stream
    assert all(chunk.usage is None for chunk in chunks)
    assert (last.choices, last.usage.completion_tokens) == ([], 3)
