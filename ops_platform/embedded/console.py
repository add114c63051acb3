"""What `up` prints: its own lines, and the children's with a prefix, also kept in files."""

import asyncio
import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

LOG_BYTES = 5_000_000
LOG_FILES = 3
MAX_LINE = 16_384
_COLOURS = (36, 33, 35, 32, 34, 96, 93, 95)


class Console:
    """Interleaves the children's output line by line; each child also gets its own log file."""

    def __init__(self, folder: Path, stream: TextIO | None = None) -> None:
        self.folder = folder
        self.stream = stream or sys.stdout
        self.quiet = False
        self._files: dict[str, RotatingFileHandler] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def log_path(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def say(self, text: str) -> None:
        """A line of `up` itself."""
        self._print("up", text)

    def show(self, text: str) -> None:
        """A block as it is, without prefix."""
        self._write_out(text + "\n")

    async def follow(self, name: str, stream: asyncio.StreamReader) -> None:
        """Copy a child's output until it ends; an endless line is cut, not kept in memory."""
        rest = b""
        while chunk := await stream.read(65_536):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > MAX_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._print(name, line[:MAX_LINE].decode("utf-8", "replace").rstrip())
        if rest:
            self._print(name, rest.decode("utf-8", "replace"))

    def _print(self, name: str, text: str) -> None:
        self._file(name).emit(logging.makeLogRecord({"msg": text}))
        if self.quiet and name != "up":
            return
        label = f"{name:<9}|"
        if self.stream.isatty():
            number = list(self._files).index(name) % len(_COLOURS)
            label = f"\x1b[{_COLOURS[number]}m{label}\x1b[0m"
        self._write_out(f"{label} {text}\n")

    def _write_out(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except (BrokenPipeError, ValueError):
            self.stream = open("/dev/null", "w")  # noqa: SIM115,PTH123 - the terminal went away

    def _file(self, name: str) -> RotatingFileHandler:
        if name not in self._files:
            handler = RotatingFileHandler(
                self.log_path(name), maxBytes=LOG_BYTES, backupCount=LOG_FILES
            )
            handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
            self._files[name] = handler
        return self._files[name]
