"""Bad requests and bad clients over real HTTP: a clear answer each, and the server goes on."""

import json
import socket
import time
from contextlib import ExitStack

import httpx
import pytest

from kvserve.tests.conftest import EMBEDDER, HELLO, LLM, wait_until

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
TOOL = {"type": "function", "function": {"name": "f"}}
JSON = {"Content-Type": "application/json"}


def tool(**function) -> dict:
    return {"messages": HELLO, "tools": [{"type": "function", "function": function}]}


def form(**response_format) -> dict:
    return {"messages": HELLO, "response_format": response_format}


def schema_form(schema: object) -> dict:
    return form(type="json_schema", json_schema={"name": "x", "schema": schema})


REFUSED = [
    (CHAT, {"model": "gpt-5", "messages": HELLO}, 404, "'gpt-5' is not served"),
    (CHAT, {"messages": []}, 400, "messages"),
    (CHAT, {"messages": [{"role": "king", "content": "x"}]}, 400, "role"),
    (CHAT, {"messages": [{"role": "user"}]}, 400, "a message needs content"),
    (CHAT, {"messages": "hello"}, 400, "messages"),
    (CHAT, {"messages": [{"role": "user", "content": "word " * 2000}]}, 400, "shorten it"),
    (CHAT, {"messages": HELLO, "max_tokens": 99_999}, 400, "max_tokens asks for 99999"),
    (CHAT, {"messages": HELLO, "max_tokens": "many"}, 400, "max_tokens"),
    (CHAT, {"messages": HELLO, "n": 10_000}, 400, "n is 10000"),
    (CHAT, {"messages": HELLO, "n": 0}, 400, "n: "),
    (CHAT, {"messages": HELLO, "temperature": 9}, 400, "temperature"),
    (CHAT, {"messages": HELLO, "top_logprobs": 2}, 400, "top_logprobs needs logprobs"),
    (CHAT, {"messages": HELLO, "logprobs": True, "top_logprobs": 99}, 400, "top_logprobs"),
    (CHAT, {"messages": HELLO, "logit_bias": {"49152": 1}}, 400, "token ids are 0…49151"),
    (CHAT, {"messages": HELLO, "logit_bias": {"7": 101}}, 400, "logit_bias"),
    (CHAT, {"messages": HELLO, "priority": "urgent"}, 400, "priority"),
    (CHAT, {"messages": HELLO, "stop": [""]}, 400, "stop"),
    (CHAT, {"messages": HELLO, "stream_options": {"include_usage": True}}, 400, "needs stream"),
    (CHAT, {"messages": HELLO, "functions": [{}]}, 400, "functions: not served"),
    (CHAT, {"messages": HELLO, "modalities": ["audio"]}, 400, "modalities"),
    (CHAT, {"messages": HELLO, "chat_template_kwargs": {"tools": 1}}, 400, "can't set tools"),
    (CHAT, {"messages": HELLO, "tools": [{"type": "function"}]}, 400, "tools.0.function"),
    (CHAT, tool(name="two words"), 400, "name"),
    (CHAT, tool(name="f", parameters={"type": "array"}), 400, "must have type object"),
    (CHAT, tool(name="f", parameters={"properties": {"a": {"type": "strin"}}}), 400,
     "tools.0.function.parameters: invalid JSON schema: 'strin'"),
    (CHAT, tool(name="f", parameters={"properties": {"a": {"not": {}}}}), 400, "enforce: not"),
    (CHAT, {"messages": HELLO, "tools": [TOOL, TOOL]}, 400, "f is defined twice"),
    (CHAT, {"messages": HELLO, "tool_choice": "required"}, 400, "needs tools"),
    (CHAT, {"messages": HELLO, "tools": [TOOL], "guided_regex": "a"}, 400, "guided_regex: with t"),
    (CHAT, {"messages": HELLO, "tools": [TOOL], "tool_choice":
            {"type": "function", "function": {"name": "g"}}}, 400, "g is not among the tools (f)"),
    (CHAT, {"messages": [*HELLO, {"role": "assistant", "tool_calls":
            [{"function": {"name": "f", "arguments": "{"}}]}]}, 400, "not the text of a JSON obj"),
    (CHAT, form(type="json_schema"), 400, "needs a json_schema"),
    (CHAT, form(type="grammar"), 400, "needs a grammar"),
    (CHAT, form(type="grammar", grammar="root ::= nosuch"), 400, "nosuch"),
    (CHAT, schema_form({"type": "strin"}), 400, "response_format: invalid JSON schema"),
    (CHAT, schema_form({"uniqueItems": True, "type": "array"}), 400, "cannot enforce: uniqueItems"),
    (CHAT, {"messages": HELLO, "guided_json": "{"}, 400, "guided_json: not JSON"),
    (CHAT, {"messages": HELLO, "guided_json": {}, "guided_regex": "a"}, 400, "one form of answer"),
    (CHAT, {"messages": HELLO, "structured_outputs": {"choice": []}}, 400, "1…1024 texts"),
    (TEXT, {"prompt": ""}, 400, "the prompt is empty"),
    (TEXT, {"prompt": []}, 400, "prompts"),
    (TEXT, {"prompt": [10**8]}, 400, "token ids outside"),
    (TEXT, {"prompt": [10**8], "echo": True}, 400, "token ids outside"),
    (TEXT, {"prompt": [["a"]]}, 400, "prompt"),
    (TEXT, {"prompt": "a", "max_tokens": 0}, 400, "max_tokens"),
    (TEXT, {"prompt": "a", "suffix": "b"}, 400, "suffix: not served"),
    (TEXT, {"prompt": "a", "echo": True, "logprobs": 1}, 400, "echo with logprobs"),
    (TEXT, {"prompt": "a", "best_of": 3}, 400, "best_of 3 with n 1"),
    (TEXT, {"prompt": "a", "min_tokens": 3}, 400, "min_tokens: not served"),
    (TEXT, {"prompt": "word " * 2000}, 400, "context is 768 tokens, but the prompt has"),
    ("/v1/embeddings", {"model": LLM, "input": "x"}, 404, "is not served for this"),
    ("/v1/embeddings", {"model": EMBEDDER, "input": []}, 400, "input"),
    ("/v1/embeddings", {"model": EMBEDDER, "input": [[1, 2]]}, 400, "give texts"),
    ("/v1/embeddings", {"model": EMBEDDER, "input": [" "]}, 400, "empty text"),
    ("/v1/embeddings", {"model": EMBEDDER, "input": "x", "dimensions": 3}, 400, "has 384"),
    ("/detokenize", {"tokens": [49152]}, 400, "token ids are 0…49151"),
    ("/tokenize", {}, 400, "either prompt or messages"),
    ("/nowhere", {}, 404, "Not Found"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def still_answers(server_url):
    """Whatever a test did, the server answers the next request as before, and holds nothing."""
    yield
    body = {"prompt": "One, two,", "max_tokens": 2}
    answer = httpx.post(f"{server_url}{TEXT}", json=body, timeout=30)
    assert answer.json()["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize(("path", "body", "status", "message"), REFUSED)
def test_it_refuses_in_openais_shape(server_url, path, body, status, message) -> None:
    answer = httpx.post(f"{server_url}{path}", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, message in error["message"]) == (status, True), error
    assert error["type"]
    assert error["code"]


DEEP = 10_000


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b'{"messages": [', 400),
        (b'{"messages": "\xff\xfe"}', 400),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', 400),
        (b"[" * 100_000, 400),
        (b'{"prompt": "a", "guided_json": ' + b'{"items": ' * 900 + b"{}" + b"}" * 901, 400),
        (b'{"prompt": "a", "guided_grammar": "root ::= ' + b"(" * DEEP + b')"}', 400),
        (b'{"prompt": "a", "guided_regex": "' + b"(" * DEEP + b')"}', 400),
        (b'{"prompt": "a", "temperature": NaN}', 400),
        (b'{"prompt": "a", "min_p": Infinity}', 400),
        (b'{"prompt": "a", "logit_bias": {"1": NaN}}', 400),
        (b'{"prompt": "a", "seed": ' + b"9" * 5000 + b"}", 400),
        (b"[]", 400),
        (b"", 400),
        (b"x" * (5 << 20), 413),
    ],
    ids=[
        "cut", "utf8", "surrogate", "deep", "deep-schema", "deep-grammar", "deep-regex", "nan",
        "infinity", "nan-bias", "long-number", "list", "empty", "large",
    ],
)  # fmt: skip
def test_it_survives_broken_bodies(server_url, content: bytes, status: int) -> None:
    path = CHAT if b"messages" in content else TEXT
    answer = httpx.post(f"{server_url}{path}", content=content, headers=JSON, timeout=30)
    assert answer.status_code == status, answer.text
    assert "message" in answer.json()["error"]


def test_it_limits_a_body_of_unknown_length(server_url) -> None:
    answer = httpx.post(f"{server_url}{CHAT}", content=(b"x" * 65536 for _ in range(80)))
    assert answer.status_code == 413


def connect(server_url: str, *, receive_buffer: int = 0) -> socket.socket:
    host, port = server_url.removeprefix("http://").split(":")
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(30)
    connection.connect((host, int(port)))
    return connection


def post(connection: socket.socket, path: str, body: dict) -> None:
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)


@pytest.mark.parametrize("stream", [True, False])
def test_it_cancels_when_the_client_goes_away(server_url, metric, stream: bool) -> None:
    with connect(server_url) as connection:
        body = {"prompt": "a", "max_tokens": 700, "ignore_eos": True, "stream": stream}
        post(connection, TEXT, body)
        wait_until(lambda: metric("vllm:num_requests_running") == 1)
        done = metric("vllm:generation_tokens_total")
    left = time.monotonic()
    wait_until(lambda: metric("vllm:num_requests_running") == 0, timeout_s=3)
    assert metric("vllm:kv_cache_usage_perc") == 0
    assert metric("vllm:generation_tokens_total") - done < 600
    assert time.monotonic() - left < 3


def test_it_answers_429_when_the_line_is_full(server_url, metric) -> None:
    prompts = {"prompt": ["x"] * 256, "max_tokens": 700, "ignore_eos": True}
    with ExitStack() as stack:
        for _ in range(5):
            post(stack.enter_context(connect(server_url)), TEXT, prompts)
        wait_until(lambda: metric("vllm:num_requests_waiting") > 900)
        answer = httpx.post(f"{server_url}{TEXT}", json=prompts, timeout=30)
        assert answer.status_code == 429
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.json()["error"]["code"] == "queue_full"
        assert answer.json()["error"]["type"] == "rate_limit_error"
    wait_until(lambda: metric("vllm:num_requests_waiting") == 0, timeout_s=20)


@pytest.mark.slow
def test_it_cuts_off_a_client_that_hardly_reads(server_url, metric) -> None:
    done = metric("vllm:generation_tokens_total")
    body = {"prompt": "a", "max_tokens": 760, "ignore_eos": True, "stream": True, "logprobs": 20}
    with connect(server_url, receive_buffer=4096) as connection:
        post(connection, TEXT, body)
        wait_until(lambda: metric("vllm:num_requests_running") == 1)
        other = httpx.post(f"{server_url}{TEXT}", json={"prompt": "b", "max_tokens": 4}, timeout=60)
        assert other.status_code == 200  # others are served meanwhile
        wait_until(lambda: metric("vllm:num_requests_running") == 0, timeout_s=90)
        assert metric("vllm:generation_tokens_total") - done < 760
        assert metric("vllm:kv_cache_usage_perc") == 0
        text = b""
        while b"[DONE]" not in text[-100:] and (data := connection.recv(1 << 20)):
            text = text[-4000:] + data
    assert b'"code": "slow_reader"' in text


def test_it_closes_on_junk_behind_a_request(server_url) -> None:
    with connect(server_url) as connection:
        post(connection, "/tokenize", {"prompt": "a"})
        connection.sendall(b"\x00\xff junk\r\n\r\nGET / HTTP/9.9\r\n\r\n" * 50)
        answer = b""
        while data := connection.recv(65536):
            answer += data
    assert answer.count(b"HTTP/1.1 200") <= 1
    assert b"HTTP/1.1 400" in answer


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ],
)
def test_it_survives_what_is_not_http(server_url, junk: bytes) -> None:
    with connect(server_url) as connection:
        connection.sendall(junk)
        connection.shutdown(socket.SHUT_WR)
        assert b" 200 " not in connection.recv(65536)
