"""The openai package unchanged: sync, async, streams, parsed answers, its own error classes."""

import asyncio
import json
from typing import Any, Literal

import httpx
import openai
import pytest
from pydantic import BaseModel, Field

from kvserve.testing import start_server
from kvserve.tests.conftest import EMBEDDER, HELLO, LLM, free_port


class Reading(BaseModel):
    sensor: str = Field(max_length=8)
    unit: Literal["c", "kw"]
    value: int = Field(ge=0, le=99)


class GetWeather(BaseModel):
    """The weather now."""

    city: str = Field(max_length=12)


def test_it_parses_into_a_pydantic_model(client) -> None:
    for completions in (client.chat.completions, client.beta.chat.completions):
        answer = completions.parse(
            model=LLM, messages=HELLO, response_format=Reading, max_tokens=80, temperature=1, seed=3
        )
        assert isinstance(answer.choices[0].message.parsed, Reading)


def test_it_streams_into_a_pydantic_model(client) -> None:
    with client.chat.completions.stream(
        model=LLM, messages=HELLO, response_format=Reading, max_tokens=80, temperature=0
    ) as stream:
        kinds = {event.type for event in stream}
        parsed = stream.get_final_completion().choices[0].message.parsed
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert isinstance(parsed, Reading)


def test_it_parses_the_arguments_of_a_pydantic_tool(client) -> None:
    answer = client.chat.completions.parse(
        model=LLM,
        messages=[{"role": "user", "content": "What is the weather in Paris?"}],
        tools=[openai.pydantic_function_tool(GetWeather)],
        tool_choice="required",
        parallel_tool_calls=False,
        max_tokens=80,
        temperature=0,
    )
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "GetWeather"
    assert isinstance(call.function.parsed_arguments, GetWeather)


def test_it_streams_tool_calls_through_the_helper(client) -> None:
    with client.chat.completions.stream(
        model=LLM,
        messages=HELLO,
        tools=[openai.pydantic_function_tool(GetWeather)],
        tool_choice="required",
        parallel_tool_calls=False,
        max_tokens=80,
        temperature=0,
    ) as stream:
        kinds = {event.type for event in stream}
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert "tool_calls.function.arguments.done" in kinds
    assert isinstance(call.function.parsed_arguments, GetWeather)


def test_it_serves_the_async_client(server_url) -> None:
    async def ask() -> tuple[str, str, int]:
        async with openai.AsyncOpenAI(base_url=f"{server_url}/v1", api_key="none") as client:
            options: Any = {"model": LLM, "messages": HELLO, "max_tokens": 8, "temperature": 0}
            whole, stream, vectors = await asyncio.gather(
                client.chat.completions.create(**options),
                client.chat.completions.create(**options, stream=True),
                client.embeddings.create(model=EMBEDDER, input="pump"),
            )
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            return whole.choices[0].message.content, text, len(vectors.data[0].embedding)

    whole, text, dimensions = asyncio.run(ask())
    assert whole.startswith("Hello")
    assert text.startswith("Hello")
    assert dimensions == 384


def test_it_shows_the_raw_response(client) -> None:
    raw = client.chat.completions.with_raw_response.create(model=LLM, messages=HELLO, max_tokens=2)
    assert raw.status_code == 200
    assert raw.headers["content-type"] == "application/json"
    answer = raw.parse()
    assert answer.id.startswith("chatcmpl-")
    assert answer.object == "chat.completion"
    assert answer.system_fingerprint.startswith("fp_")
    assert answer.usage.prompt_tokens_details.cached_tokens >= 0


def test_it_takes_dimensions_that_are_the_models_own(client) -> None:
    vector = client.embeddings.create(model=EMBEDDER, input=["pump"], dimensions=384).data[0]
    assert len(vector.embedding) == 384


def test_it_raises_the_clients_own_errors(client) -> None:
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model=LLM, messages=HELLO, temperature=9)
    assert bad.value.param == "temperature"
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-5", messages=HELLO)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-5")
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(
            model=LLM, messages=HELLO, response_format=Reading, max_tokens=2
        )


@pytest.fixture(scope="module")
def keyed_url(models_dir, model_path, tmp_path_factory):
    """A server of its own that asks for a key."""
    key = tmp_path_factory.mktemp("key") / "key"
    key.write_text("secret\n")
    options = ("--kv-blocks", "16", "--embedder", "none", "--api-key-file", str(key))
    with start_server(models_dir.parent, free_port(), *options) as url:
        yield url


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"),
        ("GET", "/metrics"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/embeddings"),
        ("POST", "/tokenize"),
        ("POST", "/detokenize"),
        ("GET", "/nowhere"),
    ],
)
def test_it_asks_for_the_key_everywhere_but_health(keyed_url, method, path) -> None:
    answer = httpx.request(method, f"{keyed_url}{path}", json={} if method == "POST" else None)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert httpx.get(f"{keyed_url}/health").status_code == 200


def test_it_takes_the_key_from_the_client(keyed_url) -> None:
    wrong = openai.OpenAI(base_url=f"{keyed_url}/v1", api_key="wrong", max_retries=0)
    with wrong, pytest.raises(openai.AuthenticationError):
        wrong.models.list()
    with openai.OpenAI(base_url=f"{keyed_url}/v1", api_key="secret") as right:
        assert json.loads(right.models.list().to_json())["data"][0]["id"] == LLM
