"""The server as a process: how it starts, why it does not, how it ends."""

import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from kvserve.tests.conftest import environment, free_port, wait_until


def start(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "kvserve.server_main", "--embedder", "none", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment())


def test_it_ends_quickly_on_sigterm_in_the_middle_of_a_stream(model_path) -> None:
    port = free_port()
    process = start("--model", str(model_path), "--port", str(port), "--attention", "paged")
    url = f"http://127.0.0.1:{port}"

    def healthy() -> bool:
        try:
            return httpx.get(f"{url}/health").status_code == 200
        except httpx.HTTPError:
            return False

    wait_until(healthy, timeout_s=60)
    body = {"prompt": "a", "max_tokens": 2000, "ignore_eos": True, "stream": True}
    with httpx.stream("POST", f"{url}/v1/completions", json=body, timeout=30) as answer:
        lines = answer.iter_lines()
        next(lines)
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        rest = list(lines)
    log = process.communicate()[1]
    assert time.monotonic() - started < 3
    assert process.returncode == 0
    assert any("shutting down" in line for line in rest)
    assert "memory plan: weights" in log


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "/no/such.gguf"], "no model file at /no/such.gguf"),
        (["--model", __file__], "llama.cpp could not load"),
        (["--model", "x", "--max-seqs", "9999"], "choose 1…192; llama.cpp has 256 sequence ids"),
    ],
)
def test_it_ends_with_the_reason_when_it_cannot_serve(arguments, message) -> None:
    process = start(*arguments, "--port", str(free_port()))
    log = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert message in log


def test_it_names_a_busy_port() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        process = start("--model", "x", "--port", str(port))
        assert f"cannot listen on 127.0.0.1:{port}" in process.communicate(timeout=60)[1]
