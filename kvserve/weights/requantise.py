"""Write a model's weights in another quantisation, by llama.cpp, whole or not at all."""

import logging
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from kvserve.errors import ModelUnavailable
from kvserve.weights.gguf_header import GgufHeader, read_header

log = logging.getLogger("kvserve")

Q8_0 = "q8_0"
PREFIX = "LLAMA_FTYPE_MOSTLY_"
# bits per weight, at least; block sizes in ggml/src/ggml-common.h
WIDTH = re.compile(r"(?:I?Q|TQ)(\d)|B?F(\d\d)|MXFP(\d)|NVFP(\d)", re.IGNORECASE)
OVERHEAD = 1.15  # of blocks' scales, and of tensors that stay wider
PROGRESS = re.compile(r"\[\s*(\d+)/\s*(\d+)\]")

OnProgress = Callable[[int, int], None]  # tensors done, tensors in all


def types() -> dict[str, int]:
    """Names that llama.cpp knows, lower case, and its numbers (enum llama_ftype)."""
    from kvserve.native import lib

    known = {n.removeprefix(PREFIX).lower(): getattr(lib, n) for n in dir(lib) if PREFIX in n}
    return {**known, "f32": lib.LLAMA_FTYPE_ALL_F32}


def type_name(header: GgufHeader) -> str:
    """The quantisation that a file says it has, such as q8_0."""
    number = header.metadata.get("general.file_type")
    return next((name for name, value in types().items() if value == number), "unknown")


def requantise(
    source: Path, target: Path, kind: str = Q8_0, *, on_progress: OnProgress | None = None
) -> None:
    """Write `target`, in whose folder the bytes grow under a hidden name until they are complete.

    Raises:
        ModelUnavailable: `source` is no model, the type is unknown, the disk has no room, or
            llama.cpp refused.
        OSError: the folder can't be written.
    """
    number = types().get(kind.lower())
    if number is None:
        raise ModelUnavailable(f"unknown type '{kind}'; known: {', '.join(sorted(types()))}")
    header = read_header(source)
    if header.metadata.get("general.type", "model") != "model":
        raise ModelUnavailable(f"{source} is no model but {header.metadata['general.type']!r}")
    _check_room(target, expected_bytes(header, kind))
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        _quantise(source, temporary, number, on_progress)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def expected_bytes(header: GgufHeader, kind: str) -> int:
    """About what the file will take."""
    width = WIDTH.search(kind)
    bits = int(next(filter(None, width.groups()), "32")) if width else 32
    return header.data_start + int(header.num_parameters * bits / 8 * OVERHEAD)


def _check_room(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise ModelUnavailable(
            f"preparing {target.name} needs {needed >> 20} MiB in {target.parent}, which has"
            f" {free >> 20} MiB free: make room or point the data folder elsewhere"
        )


def _quantise(source: Path, target: Path, number: int, on_progress: OnProgress | None) -> None:
    """llama_model_quantize, which tells its progress in its log."""
    from kvserve.native import lib, listening

    complaints: list[str] = []

    def on_line(line: str) -> None:
        if "failed" in line:
            complaints.append(line)
        if on_progress and (match := PROGRESS.match(line)):
            on_progress(int(match[1]), int(match[2]))

    params = lib.llama_model_quantize_default_params()
    params.ftype = number
    params.allow_requantize = True
    with listening(on_line):
        code = lib.llama_model_quantize(os.fsencode(source), os.fsencode(target), params)
    if code == 0:
        read_header(target)
    else:
        cause = complaints[-1] if complaints else f"code {code}"
        raise ModelUnavailable(f"llama.cpp could not requantise {source} to {target}: {cause}")
