"""LLMClient against the real server, dead servers and a server that is not ready."""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kvserve.client import LLMClient, LLMRefused, LLMUnavailable
from kvserve.tests.conftest import HELLO, LLM, free_port


@pytest.fixture
def dead_url() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def overloaded_url():
    """An outside server that answers 503 to everything."""

    class Overloaded(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = json.dumps({"error": {"message": "overloaded"}}).encode()
            self.send_response(503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *_args) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Overloaded) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_it_chats_streams_and_embeds(server_url) -> None:
    client = LLMClient([f"{server_url}/"], model=LLM)
    client.chat(HELLO, max_tokens=1)  # the prompt is cached from here on: the same batches for all
    result = client.chat(HELLO, max_tokens=10)
    assert result.text.startswith("Hello")
    assert (result.finish_reason, result.completion_tokens, result.model) == ("length", 10, LLM)
    assert "".join(client.stream(HELLO, max_tokens=10)) == result.text
    vectors = client.embed([f"text {i}" for i in range(70)], model="all-MiniLM-L6-v2")
    assert (len(vectors), len(vectors[0])) == (70, 384)
    assert client.ready().ok


async def collect(client: LLMClient) -> str:
    return "".join([piece async for piece in client.astream(HELLO, max_tokens=10)])


def test_it_streams_in_an_event_loop_past_a_dead_server(server_url, dead_url) -> None:
    expected = LLMClient([server_url], model=LLM).chat(HELLO, max_tokens=10).text
    client = LLMClient([dead_url, server_url], model="")
    assert asyncio.run(collect(client)) == expected
    assert asyncio.run(collect(client)) == expected  # another loop


def test_it_asks_for_the_first_model_listed_when_none_is_named(server_url) -> None:
    assert LLMClient([server_url], model="").chat(HELLO, max_tokens=2).model == LLM


def test_it_answers_in_a_schema(server_url) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    result = LLMClient([server_url], model=LLM).chat(HELLO, json_schema=schema, max_tokens=60)
    assert isinstance(json.loads(result.text)["n"], int)


def test_it_fails_over_and_remembers_who_answered(server_url, dead_url, overloaded_url) -> None:
    client = LLMClient([dead_url, overloaded_url, server_url], model=LLM)
    assert client.chat(HELLO, max_tokens=2).completion_tokens == 2
    assert client._order()[0][1] == server_url
    assert client.ready().detail == f"{server_url}: ready"


def test_it_names_every_server_when_none_answers(dead_url, overloaded_url) -> None:
    client = LLMClient([dead_url, overloaded_url], model=LLM)
    for call in (
        lambda: client.chat(HELLO),
        lambda: list(client.stream(HELLO)),
        lambda: client.embed(["x"], model="all-MiniLM-L6-v2"),
        lambda: asyncio.run(collect(client)),
    ):
        with pytest.raises(LLMUnavailable) as caught:
            call()
        assert dead_url in str(caught.value)
        assert f"{overloaded_url} answered 503" in str(caught.value)
    ready = client.ready()
    assert not ready.ok
    assert "answered 503" in ready.detail


def test_it_says_when_nothing_is_configured() -> None:
    client = LLMClient([], model=LLM)
    with pytest.raises(LLMUnavailable, match="none is configured"):
        client.chat(HELLO)
    assert client.ready() == (False, "no LLM server is configured")


def test_it_does_not_fail_over_a_request_that_is_wrong(server_url, dead_url) -> None:
    client = LLMClient([server_url, dead_url], model=LLM)
    with pytest.raises(LLMRefused, match="max_tokens asks for 99999"):
        client.chat(HELLO, max_tokens=99_999)
    with pytest.raises(LLMRefused, match="not served"):
        LLMClient([server_url], model="other").chat(HELLO)


def test_it_says_when_a_stream_breaks_off() -> None:
    class BreaksOff(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            chunk = {"choices": [{"index": 0, "delta": {"content": "Hel"}}]}
            event = f"data: {json.dumps(chunk)}\n\n".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Content-Length", str(len(event) + 100))
            self.end_headers()
            self.wfile.write(event)

        def log_message(self, *_args) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), BreaksOff) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = LLMClient([f"http://127.0.0.1:{server.server_address[1]}"], model=LLM)
        stream = client.stream(HELLO)
        assert next(stream) == "Hel"
        with pytest.raises(LLMUnavailable, match="broke off"):
            next(stream)
        server.shutdown()


def test_it_cancels_a_stream_that_is_closed(server_url) -> None:
    stream = LLMClient([server_url], model=LLM).stream(HELLO, max_tokens=600)
    assert next(stream)
    stream.close()
