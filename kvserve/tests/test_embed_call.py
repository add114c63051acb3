"""Embeddings over kept connections: from kvserve, and from servers that answer otherwise."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kvserve.client import LLMClient, LLMRefused, LLMUnavailable
from kvserve.embed_call import EmbedCall, proxied

ROWS = {"data": [{"index": 1, "embedding": [0, 1]}, {"index": 0, "embedding": [1, 0.5]}]}


class Foreign(ThreadingHTTPServer):
    """A server of somebody else's: says what it was told to, and may hang up after each answer."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.body, self.hangs_up = 200, json.dumps(ROWS).encode(), False
        self.connections = 0
        self.asked: list[dict[str, object]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Foreign

    def setup(self) -> None:
        self.server.connections += 1
        super().setup()

    def do_POST(self) -> None:
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)
        self.close_connection = self.server.hangs_up  # without having said so

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def foreign() -> Iterator[Foreign]:
    server = Foreign()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def client(url: str) -> LLMClient:
    return LLMClient([url], model="any", timeout_s=5)


def test_it_reads_numbers_in_order_and_keeps_the_connection(foreign):
    asked = client(foreign.url)
    for _ in range(5):
        assert asked.embed(["a", "b"], model="m") == [[1.0, 0.5], [0.0, 1.0]]
    assert foreign.connections == 1
    assert foreign.asked[0] == {"model": "m", "input": ["a", "b"], "encoding_format": "base64"}


def test_it_asks_again_when_a_kept_connection_was_closed(foreign):
    foreign.hangs_up = True
    asked = client(foreign.url)
    for _ in range(5):
        assert len(asked.embed(["a", "b"], model="m")) == 2
    assert foreign.connections == 5
    assert len(foreign.asked) == 5


def test_it_has_a_connection_for_each_thread(foreign):
    asked = client(foreign.url)
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(len(asked.embed(["a", "b"], model="m"))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [2] * 8
    assert foreign.connections <= 8


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        (404, {"error": {"message": "no such model"}}, LLMRefused, r"\(404\): no such model"),
        (422, {"detail": "too long"}, LLMRefused, "too long"),
        (401, "<html>", LLMRefused, r"\(401\): \"<html>\""),
        (429, {"error": "later"}, LLMUnavailable, "answered 429: later"),
        (500, {}, LLMUnavailable, "answered 500"),
        (200, {"data": [{"embedding": "%%%"}]}, LLMRefused, "in another form"),
        (200, {"data": [{"embedding": [1]}]}, LLMRefused, "1 vectors for 2 texts"),
        (200, [], LLMRefused, "in another form"),
        (200, {"data": None}, LLMRefused, "in another form"),
    ],
)
def test_it_says_what_a_server_refuses_or_cannot(foreign, status, body, error, says):
    foreign.status, foreign.body = status, json.dumps(body).encode()
    with pytest.raises(error, match=says):
        client(foreign.url).embed(["a", "b"], model="m")


def test_it_says_that_nobody_answers_and_that_one_takes_too_long(foreign):
    foreign.server_close()
    with pytest.raises(LLMUnavailable, match="not reachable"):
        client(foreign.url).embed(["a"], model="m")


def test_it_goes_to_the_next_server(foreign):
    asked = LLMClient(["http://127.0.0.1:9", foreign.url], model="any", timeout_s=5)
    assert len(asked.embed(["a", "b"], model="m")) == 2


def test_it_leaves_servers_behind_a_proxy_to_the_sdk(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert not proxied("http://models.example:8000")
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "127.0.0.1,.inner")
    assert proxied("http://models.example:8000")
    assert not proxied("https://models.example:8000")
    assert not proxied("http://127.0.0.1:8000")
    assert not proxied("http://models.inner")


def test_it_keeps_a_path_of_the_address(foreign):
    call = EmbedCall(f"{foreign.url}/api/", api_key="k", timeout_s=5, connect_timeout_s=1)
    assert len(call.embed(["a", "b"], model="m")) == 2
