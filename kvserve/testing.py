"""A real kvserve in a subprocess, for tests of whoever talks to it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 5.0


@contextmanager
def start_server(data_dir: Path, port: int, *arguments: str) -> Iterator[str]:
    """Run `python -m kvserve.server_main` and yield its base url once LLM and embedder are ready.

    `arguments` are further options. The log is `data_dir/kvserve-<port>.log`.

    Raises:
        RuntimeError: it ended or was not ready in time; with the end of its log.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    log = data_dir / f"kvserve-{port}.log"
    command = [sys.executable, "-m", "kvserve.server_main", "--data-dir", str(data_dir)]
    command += ["--port", str(port), *arguments]
    root = Path(__file__).resolve().parent.parent
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, "PYTHONPATH": path}
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_ready(url, process, log)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"kvserve ended with code {process.returncode}:\n{_tail(log)}")
        try:
            with urlopen(f"{url}/health", timeout=5) as answer:  # noqa: S310  # our own http url
                if json.load(answer)["embedder"]["state"] != "loading":
                    return
        except (URLError, OSError):
            pass
        time.sleep(0.1)
    raise RuntimeError(f"kvserve was not ready after {START_TIMEOUT_S:.0f} s:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])
