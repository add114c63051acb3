"""Reading a file that may be hostile: in a process of its own, under limits that the kernel keeps.

A file that hangs, eats memory, or crashes its parser costs this one process and gives one
sentence. Start of the process and of a parser: about 0.1 s, a PDF 0.3 s.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, cast

from rag.parsing import check_size
from rag.parsing.blocks import ParsedDocument, ParseError

SECONDS = 120
MEMORY_MIB = 1024
# The largest document that is worth having, as JSON; 25 MiB of plain text fit in.
MAX_OUTPUT_BYTES = 96 * 2**20

_CHILD = Path(__file__).with_name("child.py")


def parse_limited(
    data: bytes, name: str, *, seconds: float = SECONDS, memory_mib: int = MEMORY_MIB
) -> ParsedDocument:
    """Parse one file in a child process with limits on time, memory, output and rights.

    The child gets no environment, no descriptor and no network of this process; it is killed with
    everything it started. Raises ParseError, also when the child is killed, hangs or crashes.
    """
    from rag.parsing.wire import load

    check_size(data, name)
    with tempfile.TemporaryFile() as stdin:
        stdin.write(data)
        stdin.seek(0)
        output, code, over = _run(stdin.fileno(), name, seconds, memory_mib)
    if over:
        raise ParseError(f"{name}: {over}; split the document or save it in a simpler form")
    memory = f"{name}: needs more than {memory_mib} MiB to be read; split the document"
    try:
        body = json.loads(output) if output[:10] == b'{"error": ' else None
        if body is None and code == 0:
            return load(output)
    except (ValueError, KeyError, TypeError) as error:
        raise ParseError(f"{name}: cannot be read (the reader's output is broken)") from error
    if body is not None:
        raise ParseError(memory if body["error"] == "memory" else body["error"])
    if -code in (signal.SIGXCPU, signal.SIGKILL):
        raise ParseError(f"{name}: takes more than {seconds:g} s to read; split the document")
    if -code in (signal.SIGABRT, signal.SIGTRAP, signal.SIGILL) or code > 0:
        raise ParseError(memory)
    raise ParseError(
        f"{name}: crashed the reader ({_signal_name(code)}); save it again with another program"
    )


def _signal_name(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit status {code}"


def _run(stdin: int, name: str, seconds: float, memory_mib: int) -> tuple[bytes, int, str]:
    """The child's output, its return code (negative: the signal), and which limit ended it."""
    child = subprocess.Popen(
        [sys.executable, "-I", "-B", str(_CHILD), name, str(max(1, int(seconds))), str(memory_mib)],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        close_fds=True,
        start_new_session=True,
    )
    try:
        with cast("IO[bytes]", child.stdout) as pipe:
            output, over = _collect(pipe.fileno(), time.monotonic() + seconds, seconds)
        if not over:
            child.wait(timeout=5)
    except subprocess.TimeoutExpired:
        over = "does not end"
    finally:
        # Also when this worker is told to stop while it waits: nothing is left behind.
        _kill(child)
        code = child.wait()
    return output, code, over


def _kill(child: "subprocess.Popen[bytes]") -> None:
    """End the child's whole process group; it is its own session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _collect(pipe: int, deadline: float, seconds: float) -> tuple[bytes, str]:
    """Everything up to the end of the pipe, or which limit was passed."""
    chunks: list[bytes] = []
    size = 0
    poll = select.poll()
    poll.register(pipe, select.POLLIN | select.POLLHUP)
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return b"", f"takes more than {seconds:g} s to read"
        if not poll.poll(left * 1000):
            continue
        chunk = os.read(pipe, 1 << 20)
        if not chunk:
            return b"".join(chunks), ""
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_OUTPUT_BYTES:
            return b"", f"contains more than {MAX_OUTPUT_BYTES // 2**20} MiB of text"
