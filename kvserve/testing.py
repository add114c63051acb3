"""Real servers in subprocesses, for tests and benchmarks of whoever talks to them."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 5.0
LOG_TAIL_LINES = 20


class ServerProcess:
    """A server from its command: ready inside `with`, ended behind it.

    `{port}` in the command is filled in. It is ready when `ready_path` answers 200 with a body that
    `is_ready` accepts. With `own_session`, Ctrl-C in the terminal does not reach it.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        log: Path,
        port: int = 0,
        ready_path: str = "/health",
        is_ready: Callable[[bytes], bool] = lambda body: True,
        environment: dict[str, str] | None = None,
        own_session: bool = False,
    ) -> None:
        self.name = name
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = [part.replace("{port}", str(self.port)) for part in command]
        self.log = log
        self.ready_path = ready_path
        self.is_ready = is_ready
        self.environment = environment
        self.own_session = own_session

    def __enter__(self) -> Self:
        """Start it and wait.

        Raises:
            RuntimeError: it ended or was not ready in time; with the end of its log.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment,
                start_new_session=self.own_session,
            )
        try:
            self._wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            self.require_alive()
            try:
                with urlopen(self.url + self.ready_path, timeout=5) as answer:  # noqa: S310  # our own http url
                    if self.is_ready(answer.read()):
                        return
            except (URLError, OSError):
                pass
            time.sleep(0.1)
        raise RuntimeError(
            f"{self.name} was not ready after {START_TIMEOUT_S:.0f} s:\n{self.log_tail()}"
        )

    def require_alive(self) -> None:
        """Raise RuntimeError, with the end of its log, if the process has ended."""
        code = self.process.poll()
        if code is not None:
            raise RuntimeError(f"{self.name} ended with code {code}:\n{self.log_tail()}")

    def log_tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])

    def stop(self) -> None:
        """End it, the hard way if it does not go by itself."""
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def kvserve_process(
    data_dir: Path, *arguments: str, port: int = 0, own_session: bool = False
) -> ServerProcess:
    """`python -m kvserve.server_main` with further options; ready once LLM and embedder are.

    Its log is `data_dir/kvserve-<port>.log`.
    """
    port = port or free_port()
    command = [sys.executable, "-m", "kvserve.server_main", "--data-dir", str(data_dir)]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return ServerProcess(
        "kvserve",
        [*command, "--port", "{port}", *arguments],
        log=data_dir / f"kvserve-{port}.log",
        port=port,
        is_ready=lambda body: json.loads(body)["embedder"]["state"] != "loading",
        environment={**os.environ, "PYTHONPATH": path},
        own_session=own_session,
    )


@contextmanager
def start_server(data_dir: Path, port: int, *arguments: str) -> Iterator[str]:
    """Run a kvserve and yield its base url.

    Raises:
        RuntimeError: it ended or was not ready in time; with the end of its log.
    """
    with kvserve_process(data_dir, *arguments, port=port) as server:
        yield server.url


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
