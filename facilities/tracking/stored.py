"""A followed state as bytes: a NumPy archive without pickles."""

from __future__ import annotations

import dataclasses
import io
import logging
import zipfile
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from facilities.twin.coupled import Twin, TwinState
from facilities.twin.drive import DRIVES, Drive

log = logging.getLogger(__name__)

VERSION: Final = "twin-1"
"""Changes when a stored state of before cannot be read any more."""

Arrays = dict[str, npt.NDArray[Any]]


class Stored(NamedTuple):
    """What ``unpack`` gives back: the twin carries the estimated parameters."""

    twin: Twin
    state: TwinState
    drive: Drive


def to_bytes(arrays: Mapping[str, npt.NDArray[Any]], *, compress: bool = False) -> bytes:
    """Arrays as one archive."""
    buffer = io.BytesIO()
    save = np.savez_compressed if compress else np.savez
    save(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def from_bytes(content: bytes) -> Arrays:
    """The inverse of ``to_bytes``. Raises ``ValueError`` for anything else."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"a stored twin cannot be read: {error}") from error


def pack(twin: Twin, state: TwinState, drive: Drive) -> bytes:
    """State, drives and estimated parameters of one member."""
    arrays: Arrays = {f"state/{name}": value for name, value in state.to_arrays().items()}
    arrays |= {f"drive/{kind}/{name}": value for (kind, name), value in drive.values.items()}
    for part in dataclasses.fields(twin.parameters):
        constants = getattr(twin.parameters, part.name)
        for field in dataclasses.fields(constants):
            value = getattr(constants, field.name)
            if isinstance(value, np.ndarray):
                arrays[f"parameter/{part.name}/{field.name}"] = value
    return to_bytes(arrays)


def unpack(content: bytes, twin: Twin) -> Stored | None:
    """A stored state for this twin's site; None when it is of another site or another version."""
    try:
        arrays = from_bytes(content)
        drive = Drive(twin.site)
        for kind, name in DRIVES:
            value = np.asarray(arrays[f"drive/{kind}/{name}"], dtype=np.float64)
            if value.shape != drive[kind, name].shape:
                raise ValueError(f"{value.shape[1]} {kind} instead of {twin.site.count(kind)}")
            drive.values[kind, name] = value
        prefix = "state/"
        state = TwinState.from_arrays(
            {name[len(prefix) :]: v for name, v in arrays.items() if name.startswith(prefix)}
        )
        parameters = twin.parameters
        for name, value in arrays.items():
            if name.startswith("parameter/"):
                _, part, field = name.split("/")
                changed = getattr(parameters, part).replaced(**{field: value})
                parameters = dataclasses.replace(parameters, **{part: changed})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.info("the stored state does not fit the data list: %s", error)
        return None
    own = twin if parameters is twin.parameters else Twin(twin.site, parameters)
    return Stored(own, state, drive)
