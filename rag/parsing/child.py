"""The process that reads one file: limits first, then the file from stdin, JSON to stdout.

Started by `rag.parsing.limited` as `python -I -B child.py NAME CPU_SECONDS MEMORY_MIB`, without
Django, with no environment of the platform and no open files but the three standard ones. Prints
one JSON object: the document (`rag.parsing.wire`) or `{"error": "one sentence"}`.
"""

import json
import resource
import sys
from pathlib import Path
from typing import Any

# What a parser has no business with; a hit raises inside the parser.
_FORBIDDEN = (
    "socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn",
    "os.startfile", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink",
    "os.chmod", "os.chown", "os.truncate", "os.putenv", "os.kill", "os.listxattr", "shutil.",
    "tempfile.", "urllib.", "http.", "ftplib.", "smtplib.", "webbrowser.", "pty.", "sqlite3.",
)  # fmt: skip
_WRITING = 0o3 | 0o100 | 0o1000 | 0o2000  # O_ACCMODE, O_CREAT, O_TRUNC, O_APPEND


class Forbidden(PermissionError):
    """A parser tried what no parser needs."""


def guard(event: str, args: tuple[Any, ...]) -> None:
    """Audit hook: no sockets, no processes, no changes of the file system."""
    if event == "open":
        mode, flags = args[1], args[2]
        writes = bool(flags & _WRITING) if isinstance(flags, int) and flags else False
        if writes or (isinstance(mode, str) and set(mode) & set("wax+")):
            raise Forbidden(f"writing {args[0]!r} is not allowed while a file is read")
    elif event.startswith(_FORBIDDEN):
        raise Forbidden(f"{event} is not allowed while a file is read")


def limit(*, cpu_seconds: int, memory_mib: int) -> None:
    """Set the limits of this process for good."""
    memory = memory_mib * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def read(data: bytes, name: str) -> bytes:
    """The document as JSON, or the error as JSON. Never raises, except for lack of memory."""
    from rag.parsing import ParseError, parse
    from rag.parsing.wire import dump

    try:
        return dump(parse(data=data, name=name))
    except ParseError as error:
        return _error(str(error))
    except RecursionError:
        return _error(f"{name}: is nested too deeply; save it again in a simpler form")
    except Forbidden as error:
        return _error(f"{name}: refused, because reading it led to a forbidden action ({error})")
    except MemoryError:
        raise
    except Exception as error:
        cause = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        return _error(f"{name}: cannot be read ({cause}); save it again and retry")


def _error(sentence: str) -> bytes:
    return json.dumps({"error": sentence}).encode()


def main() -> int:
    """Read stdin as the named file and print the outcome."""
    name, cpu_seconds, memory_mib = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    limit(cpu_seconds=cpu_seconds, memory_mib=memory_mib)
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    sys.addaudithook(guard)
    try:
        outcome = read(sys.stdin.buffer.read(), name)
    except MemoryError:
        outcome = b'{"error": "memory"}'
    sys.stdout.buffer.write(outcome)
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
