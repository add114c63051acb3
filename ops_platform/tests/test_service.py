"""The supervisor's child processes, with real processes."""

import asyncio
import io
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from ops_platform.embedded.console import Console
from ops_platform.embedded.service import Child, Service


def _service(code: str, **options) -> Service:
    return Service(name="sample", command=[sys.executable, "-u", "-c", code], stage=1, **options)


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return Console(tmp_path / "logs", io.StringIO())


def _said(console: Console) -> str:
    assert isinstance(console.stream, io.StringIO)
    return console.stream.getvalue()


def _pid(child: Child) -> int:
    assert child.process is not None
    return child.process.pid


async def _until(condition, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.02)


async def test_it_prefixes_output_and_keeps_it_in_a_file(console: Console) -> None:
    child = Child(_service("print('hello'); import time; time.sleep(60)"), console)
    child.start()
    await _until(lambda: "sample   | hello" in _said(console))
    await child.stop()
    assert "hello" in console.log_path("sample").read_text()


async def test_it_restarts_a_killed_child_and_says_why(console: Console) -> None:
    child = Child(_service("import time; time.sleep(60)"), console)
    child.start()
    await _until(lambda: child.process is not None)
    first = _pid(child)
    os.kill(first, signal.SIGKILL)
    await _until(lambda: _pid(child) != first)
    await child.stop()
    assert "sample ended (signal SIGKILL)" in _said(console)
    assert not psutil.pid_exists(_pid(child))


async def test_it_pauses_longer_after_each_crash(console: Console) -> None:
    child = Child(_service("raise SystemExit(3)"), console)
    child.start()
    await _until(lambda: child.restarts >= 3)
    await child.stop()
    said = _said(console)
    assert "exit code 3" in said
    assert [f"again in {pause} s" in said for pause in ("0.5", "1", "2")] == [True] * 3


async def test_it_kills_a_child_that_ignores_the_request_with_its_children(
    console: Console,
) -> None:
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print('inner', inner.pid); time.sleep(60)"
    )
    child = Child(_service(code, stop_timeout_s=0.5), console)
    child.start()
    await _until(lambda: "inner " in _said(console))
    inner = int(_said(console).split("inner ")[1].split()[0])
    await child.stop()
    await _until(lambda: not psutil.pid_exists(inner) or _is_zombie(inner))
    assert "did not stop in time" in _said(console)


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_it_cuts_an_endless_line_instead_of_keeping_it(console: Console) -> None:
    child = Child(
        _service(
            "import sys\nfor _ in range(200): sys.stdout.write('x' * 10_000)\nimport time; time.sleep(60)"
        ),
        console,
    )
    child.start()
    await _until(lambda: len(_said(console)) > 100_000)
    await child.stop()
    assert max(map(len, _said(console).splitlines())) < 20_000


async def test_it_names_the_log_of_a_child_that_never_gets_ready(console: Console) -> None:
    child = Child(_service("import time; time.sleep(60)", ready=lambda: False), console)
    child.start()
    with pytest.raises(TimeoutError, match=r"sample\.log"):
        await child.until_ready(0.3)
    await child.stop()


def test_a_child_dies_with_its_parent() -> None:
    """The kernel ends children of a supervisor that was killed with SIGKILL."""
    code = (
        "import subprocess, sys, time\n"
        "from ops_platform.embedded.unprivileged import die_with_parent\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'],"
        " preexec_fn=die_with_parent(15))\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    import subprocess

    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pid) and not _is_zombie(pid):
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.05)
