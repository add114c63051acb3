"""A whole stack as a user starts it, over a fresh data folder."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from ops_platform.config import BASE_DIR

START_S = 400.0  # a first start beside other work: measured 48 s alone, 177 s at a load of 8


@dataclass
class Stack:
    """`manage.py up` with its own ports and folder; `logins` maps user names to passwords."""

    data_dir: Path
    port: int
    extra: dict[str, str] = field(default_factory=dict)
    logins: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[str] | None" = None
    output: str = ""
    started_in_s: float = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("OPS_")}
        return {**kept, "OPS_DATA_DIR": str(self.data_dir), **self.extra}

    def start(self) -> None:
        """Start, and wait for the block that `up` prints when the first page is there."""
        began = time.monotonic()
        log = self.data_dir.parent / f"up-{self.port}.log"
        self.process = subprocess.Popen(
            [sys.executable, "-u", "manage.py", "up", "--port", str(self.port), "--quiet"],
            cwd=BASE_DIR,
            env=self.environment(),
            stdout=log.open("w"),
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        while "Holdpoint is up" not in (text := log.read_text()) or "Ctrl-C" not in text:
            assert self.process.poll() is None, f"up ended by itself:\n{text[-3000:]}"
            assert time.monotonic() - began < START_S, f"up was not ready:\n{text[-3000:]}"
            time.sleep(0.05)
        self.started_in_s = time.monotonic() - began
        self.output = text
        self.logins |= dict(re.findall(r"Log in\s+(\w+)\s+(\S+)", text))

    def stop(self) -> float:
        """Press Ctrl-C; return the seconds that it took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        return time.monotonic() - began

    def kill(self) -> None:
        """Pull the plug on the supervisor."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def children(self) -> dict[str, int]:
        """Process ids of the running children by name."""
        runtime = json.loads((self.data_dir / "runtime.json").read_text())
        return {name: child["pid"] for name, child in runtime["children"].items()}

    def plant(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask the demo plant's own API."""
        token = (self.data_dir / "secrets" / "plant-api").read_text().strip()
        answer = httpx.request(
            method,
            f"http://127.0.0.1:{self.port + 103}{path}",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
        )
        answer.raise_for_status()
        return answer.json()

    def manage(self, *arguments: str) -> str:
        """Run a manage.py command against this stack, as a user in another terminal does."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=BASE_DIR,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def client(self, role: str) -> Iterator[httpx.Client]:
        """An HTTP client signed in as one of the first accounts."""
        with httpx.Client(base_url=self.url, follow_redirects=True, timeout=20) as client:
            self._sign_in(client, role)
            yield client

    def _sign_in(self, client: httpx.Client, role: str) -> None:
        page = client.get("/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token
        answer = client.post(
            "/login/",
            data={
                "username": role,
                "password": self.logins[role],
                "csrfmiddlewaretoken": token[1],
            },
            headers={"Referer": self.url},
        )
        assert answer.status_code == 200, answer.text

    def wait_until(self, condition: Any, *, what: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not within {timeout_s:.0f} s"
            time.sleep(0.25)
