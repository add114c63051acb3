"""The live twin for whoever needs it: what-if, pages, other tasks."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.utils import timezone

from facilities.models import DataListVersion, Quality, TwinTracker
from facilities.snapshots import snapshot
from facilities.twin.coupled import Twin, TwinState
from facilities.twin.drive import DRIVES, Drive
from facilities.twin.readings import placed, to_drive

from . import stored
from .site import load_site

FRESH: Final = timedelta(seconds=60)
"""A followed state older than this is not taken: six turns of the tracker (assumed)."""

CONTACTS: Final = (
    *((kind, "fault") for kind in ("crac", "cdu", "chiller", "pump", "tower")),
    *((kind, "fan_speed_pct") for kind in ("crac", "tower")),
    ("utility", "available"),
    ("hall", "door_open"),
    ("generator", "start_fail"),
    ("gpu", "xid"),
)
"""What instruments say of faults at once; everything slower is the tracker's business."""

USED_FLAGS: Final = frozenset({int(Quality.GOOD), int(Quality.UNKNOWN)})


@dataclass(frozen=True)
class Live:
    """The plant as the twin sees it at ``at``; the caller's own copy, free to change.

    ``fitness`` holds by quantity (``rack.inlet_c``) how well it was predicted lately: ``rmse``,
    ``cv_rmse_pct``, ``nmbe_pct``, ``passed``; empty where nothing has been followed yet.
    ``followed`` tells whether a tracker made it, or a single snapshot.
    """

    twin: Twin
    state: TwinState
    drive: Drive
    at: datetime
    fitness: dict[str, Any]
    followed: bool


_lock = threading.Lock()
_twins: dict[int, Twin] = {}


def bare_twin() -> Twin:
    """The twin of the data list with its handbook parameters; made anew when the list changes.

    One query when nothing changed. Raises ``SiteError`` for a data list that cannot be simulated.
    """
    version = DataListVersion.objects.filter(pk=1).values_list("version", flat=True).first() or 0
    with _lock:
        if version not in _twins:
            _twins.clear()
            _twins[version] = Twin(load_site())
        return _twins[version]


def current() -> Live:
    """The plant now, with the parameters estimated so far.

    Three queries: where a tracker follows the plant its state, with the newest commands and fault
    contacts; otherwise the newest good readings make the state. Raises ``SiteError`` for a data
    list that cannot be simulated.
    """
    twin = bare_twin()
    row = (
        TwinTracker.objects.filter(pk=1, at__gte=timezone.now() - FRESH, arrays__isnull=False)
        .only("at", "arrays", "model_version", "fitness")
        .first()
    )
    if row is not None and row.at is not None and row.arrays is not None:
        found = stored.unpack(bytes(row.arrays), twin)
        if found is not None:
            _tell_newest(found.twin, found.drive)
            return Live(found.twin, found.state, found.drive, row.at, row.fitness, True)
    return _from_snapshot(twin)


def _tell_newest(twin: Twin, drive: Drive) -> None:
    """Commands and contacts of this moment: a unit that tripped since the last turn has tripped."""
    tags = [
        tag
        for kind, quantity in (*CONTACTS, *(key for key in DRIVES if DRIVES[key].role == "command"))
        for tag in twin.site.point_tags((kind, quantity))
    ]
    shot = snapshot(mode="latest", reader="twin", tags=tags)
    told = {
        tag: value.value
        for tag, value in shot.values.items()
        if value.quality in USED_FLAGS and not value.stale
    }
    to_drive(twin.thermal, drive, placed(twin.site, told))


def _from_snapshot(twin: Twin) -> Live:
    shot = snapshot(mode="latest", reader="twin")
    readings = {
        tag: value.value
        for tag, value in shot.values.items()
        if value.quality in USED_FLAGS and not value.stale
    }
    state, drive = twin.observe(readings)
    return Live(twin, state, drive, shot.at, {}, False)
