"""The facility's state at one time, from many sources: watermarks, barrier, what waiting cost."""

from .barrier import PROBE_EVERY_S, probe
from .read import Snapshot, SnapshotValue, snapshot
from .watermarks import Watermark, watermarks

__all__ = [
    "PROBE_EVERY_S",
    "Snapshot",
    "SnapshotValue",
    "Watermark",
    "probe",
    "snapshot",
    "watermarks",
]
