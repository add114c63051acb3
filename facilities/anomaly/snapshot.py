"""The detector's state on disk: one file, written whole or not at all."""

from __future__ import annotations

import logging
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from .detector import EXPERTS, Detector

log = logging.getLogger(__name__)

FORMAT: Final = f"1 {' '.join(EXPERTS)}"
"""A state of another format, or of other tests, is of no use and is not read."""


def save(path: Path, detector: Detector, ids: npt.NDArray[np.int64]) -> None:
    """Write the state of the points ``ids`` (row by row). The file is replaced in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as out:
            np.savez(out, format=np.array(FORMAT), ids=ids, **detector.arrays())  # type: ignore[arg-type]
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def load(path: Path) -> tuple[Detector, npt.NDArray[np.int64]] | None:
    """Read what ``save`` wrote; None when there is nothing usable, which is logged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["format"]) != FORMAT:
                log.warning(
                    "%s is of format %r, not %r: starting anew", path, stored["format"], FORMAT
                )
                return None
            ids = stored["ids"].astype(np.int64)
            fresh = Detector(len(ids)).arrays()
            arrays = {name: stored[name] for name in fresh}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        log.warning("%s cannot be read (%s: %s): starting anew", path, type(error).__name__, error)
        return None
    if any(arrays[name].shape != fresh[name].shape for name in fresh):
        log.warning("%s does not fit together: starting anew", path)
        return None
    detector = Detector(len(ids))
    detector.put(arrays)
    return detector, ids
