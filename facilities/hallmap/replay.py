"""The twin over a past period: started from the readings, then driven by what was commanded.

Laid beside the measured frames it shows where reality and model part. From the first frame on the
twin is told commands, reported states (tripped, lost, open), load and weather, and no temperature.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from facilities.models import Hall

from .ahead import live_twin, tagged, twin_keys
from .frames import RAW_READINGS, Frames, frame_count, frames, wanted_points

if TYPE_CHECKING:
    from facilities.twin.drive import Drive
    from facilities.twin.site import Site

    Column = np.ndarray[Any, Any]

LONGEST_S: Final = 7200
STEP_S: Final = 5.0
DRIVEN_EVERY_S: Final = 60
"""Over times too long for their readings the drives are taken by the minute."""

STATES: Final = {
    ("crac", "fault"): ("tripped", 1.0),
    ("cdu", "fault"): ("tripped", 1.0),
    ("chiller", "fault"): ("tripped", 1.0),
    ("pump", "fault"): ("tripped", 1.0),
    ("hall", "door_open"): ("containment_open", 1.0),
    ("utility", "available"): ("available", 1.0),
    ("link", "up"): ("capacity", 1.0),
}
"""Reported states and the drive that each is; fault 1 is tripped, other codes are degraded."""

WEATHER: Final = ("dry_bulb_c", "wet_bulb_c")


def replay(hall: Hall, *, start: datetime, end: datetime, step_s: float) -> dict[str, Any]:
    """Frames of the twin, in the form of ``Frames`` with ``fitness``, ``followed``, ``closure``.

    Raises ``NoTwin``, and ``ValueError`` for a period that is too long.
    """
    length_s = (end - start).total_seconds()
    if length_s > LONGEST_S:
        raise ValueError(
            f"{length_s:.0f} s are more than the twin is run for at once ({LONGEST_S} s); "
            "ask for a shorter time"
        )
    count = frame_count(start=start, end=end, step_s=step_s, points=1)
    live = live_twin()
    site = live.twin.site
    driving = _driving(hall, site, start, length_s)
    readings = {tag: column[0] for tag, column in driving.items() if math.isfinite(column[0])}
    state, drive = live.twin.observe(readings | _first(hall, start))
    other = drive["rack", "other_it_w"].copy()
    every_s = DRIVEN_EVERY_S if _is_long(length_s, len(driving)) else STEP_S * 2
    keys = twin_keys(live)
    taken: dict[Any, Column] = {}
    steps = max(math.ceil(step_s / STEP_S), 1)
    closure = 0.0
    for frame in range(count):
        values = live.twin.values(state, drive)
        for key in keys:
            if key not in taken:
                taken[key] = np.empty((count, values[key].shape[1]))
            taken[key][frame] = values[key][0]
        for step in range(steps if frame + 1 < count else 0):
            moment = frame * step_s + step * step_s / steps
            _apply(drive, site, driving, int(moment // every_s), other)
            live.twin.step(state, drive, step_s / steps)
        closure = max(closure, live.twin.balance(state).worst)
    return Frames(start, step_s, count, tagged(site, hall.slug, taken), source="twin").as_dict() | {
        "fitness": live.fitness,
        "followed": live.followed,
        "closure": closure,
    }


def _first(hall: Hall, start: datetime) -> dict[str, float]:
    """Every reading of the moment that the twin starts from."""
    from facilities.snapshots.read import values_at

    return {
        tag: value.value
        for tag, value in values_at(start).items()
        if value.quality < 3 and not value.stale
    }


def _is_long(length_s: float, points: int) -> bool:
    return length_s * points > RAW_READINGS


def _driving(hall: Hall, site: Site, start: datetime, length_s: float) -> dict[str, Column]:
    """Measured drives over the period by tag, NaN where unknown."""
    from facilities.twin.drive import DRIVES

    keys = [key for key, spec in DRIVES.items() if spec.role == "command" and key[0] != "site"]
    keys += [*STATES, ("gpu", "util_pct"), ("rack", "power_w")]
    keys += [("weather", name) for name in WEATHER]
    points = wanted_points(hall.pk, keys)
    every_s = DRIVEN_EVERY_S if _is_long(length_s, len(points)) else STEP_S * 2
    found = frames(points, start=start, end=start + timedelta(seconds=length_s), step_s=every_s)
    return {
        tag: np.array([np.nan if value is None else value for value in column])
        for tag, column in found.values.items()
    }


def _apply(drive: Drive, site: Site, driving: dict[str, Column], place: int, other: Column) -> None:
    """Put the measured drives of one moment into ``drive``; what is unknown stays as it was."""
    for tag, column in driving.items():
        value = column[min(place, len(column) - 1)]
        if not math.isfinite(value):
            continue
        asset, _, quantity = tag.rpartition(".")
        kind, row = site.locate(asset)
        if kind == "weather":
            drive["site", quantity][:, 0] = value
        elif (kind, quantity) == ("gpu", "util_pct"):
            drive["gpu", "demand"][:, row] = value / 100.0
        elif (kind, quantity) == ("rack", "power_w"):
            first = column[np.isfinite(column)][0]
            if first > 0:
                drive["rack", "other_it_w"][:, row] = other[:, row] * value / first
        elif (kind, quantity) in STATES:
            name, of = STATES[kind, quantity]
            drive[kind, name][:, row] = float(value == of)
        else:
            drive[kind, quantity][:, row] = value
