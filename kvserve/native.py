"""The only door to llama.cpp: its C API as `lib`, its backend started, its log sent to Python's.

Importing this module loads the shared library (about 0.5 s); nothing imports it that only needs the
client.
"""

import ctypes
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kvserve.kernels.extension import LIBRARY

# OpenMP reads these when llama.cpp is loaded: a waiting thread looks for about 60 µs, then sleeps; by
# default it spins almost for ever. kernels/crowd.py makes it sleep at once while others want the cores
# (measured: docs/performance.md); without our library nothing does, so there it always sleeps at once.
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
    os.environ["OMP_WAIT_POLICY"] = "passive"
    if LIBRARY.is_file():
        os.environ["GOMP_SPINCOUNT"] = "1500"

from llama_cpp import llama_cpp

lib: Any = llama_cpp
log = logging.getLogger("kvserve.llama")

# enum ggml_log_level (ggml/include/ggml.h); level 5 continues the line before
_LEVELS = {1: logging.DEBUG, 2: logging.DEBUG, 3: logging.WARNING, 4: logging.ERROR}
# the unified pool is larger than one sequence may grow; the engine bounds each sequence itself
_EXPECTED = "possible training context overflow"
_listeners: list[Callable[[str], None]] = []


@lib.llama_log_callback
def _on_log(level: int, text: bytes, _user_data: Any) -> None:
    line = text.decode("utf-8", errors="replace").rstrip()
    if not line.strip(". ") or _EXPECTED in line:
        return
    for listener in _listeners:
        listener(line)
    log.log(_LEVELS.get(level, logging.DEBUG), "%s", line)


lib.llama_log_set(_on_log, ctypes.c_void_p(0))
lib.llama_backend_init()


@contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Also pass llama.cpp's log lines to `listener` while the block runs."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
