"""The product's door for pushes on a real port, and the agents' own programs beside it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from django.conf import settings

from facilities.ingest import publish
from facilities.ingest.asgi import PushApp
from facilities.models import Reading
from facilities.models.converter import SourceSeries
from facilities.services.sources import source_create


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def until(ready: Callable[[], Any], what: str, *, seconds: float = 20.0) -> Any:
    """The first true answer of ``ready``; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        found = ready()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def door(django_db_setup: None) -> Iterator[PushApp]:
    """The product's door for pushes, one for all tests as one for a process."""
    from ops_platform.asgi import http

    found = PushApp(http, limit=settings.MAX_INGEST_BYTES)
    yield found
    found.close()


class Server:
    """The door behind a real HTTP server in a thread of this process, on the test's database."""

    def __init__(self, door: PushApp) -> None:
        self.door = door
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        config = uvicorn.Config(
            self.door, host="127.0.0.1", port=self.port, log_config=None, lifespan="off"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        until(lambda: self._server is not None and self._server.started, "the server starts")

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._server.force_exit = True
            self._thread.join(10)


@pytest.fixture
def server(
    transactional_db: None,
    small_facility: None,
    clean_readings: None,
    door: PushApp,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Server]:
    """Not started yet: agents may be there before it.

    The threads that tell browsers of a commit are not started: they would outlive the test.
    """
    monkeypatch.setattr(publish, "start", lambda: None)
    found = Server(door)
    yield found
    found.stop()


@pytest.fixture
def running(server: Server) -> Server:
    """The server, ready for requests."""
    server.start()
    return server


@pytest.fixture
def agent_token(small_facility: None) -> str:
    """The token of a source whose unknown series become points."""
    return source_create(name="agent", auto_register=True).token


def stored(key: str) -> list[float]:
    """The values of a series, in the order of time."""
    series = SourceSeries.objects.filter(key=key).first()
    if series is None:
        return []
    return list(
        Reading.objects.filter(point_id=series.point_id)
        .order_by("ts")
        .values_list("value", flat=True)
    )


def program(name: str, package: str) -> str:
    """The path of an agent's program; skips without it, fails where CI has to have it."""
    found = shutil.which(name)
    if found:
        return found
    if os.environ.get("HOLDPOINT_REQUIRE_PROMETHEUS"):
        pytest.fail(f"{name} is not installed; Debian: apt-get install {package}")
    pytest.skip(f"{name} IS NOT INSTALLED, so no real agent was tested (apt-get install {package})")


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts programs that end with the test; their output is in ``tmp_path``."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> subprocess.Popen[bytes]:
        log = (tmp_path / f"agent-{len(started)}.log").open("wb")
        child = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path)
        started.append(child)
        return child

    yield start
    for child in started:
        child.terminate()
    for child in started:
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
