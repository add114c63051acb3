"""What of the drive the electrical part needs, worked out once until the drive changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facilities.twin.drive import Drive
from facilities.twin.site import Floats


@dataclass(frozen=True, slots=True)
class Chain:
    """Which cords are live, and everything that follows: forward from the sources."""

    ups_mains: Floats
    ups_out: Floats
    pdu_on: Floats
    on: Floats  # (M, loads)
    load_mains: Floats  # (M, loads)
    pdu_mains: Floats  # (M, P)
    each_load: Floats  # one over the live cords, (M, loads)
    each_pdu: Floats  # (M, P)
    calm: bool  # no battery carries anything


@dataclass(slots=True)
class Commands:
    """What follows from drive and constants alone; ``calm`` is the chain on healthy mains with no
    breaker tripped, worked out when it is first needed.
    """

    available: bool  # every feed, in all members
    bypass: Floats | None  # 1 by command or failure; None: none is
    connected: Floats  # (M, U)
    health: Floats  # (M, U)
    closed: Floats  # (M, P) but for what has tripped
    reset: Floats  # (M, P) 1 where open by command
    other_w: Floats | None  # (M, R), NaN where the drive does not say; None: nowhere does it
    other_most_w: Floats  # (M, R)
    lighting_w: Floats  # (M, H)
    calm: Chain | None = None


def commands(drive: Drive, *, rated_w: Floats, lighting_w: Floats) -> Commands:
    """The commands of a drive, valid until it changes; ``rated_w`` (R,) of racks."""
    asked = np.maximum(drive["ups", "bypass"], drive["ups", "failed"]) > 0.5
    reset = drive["pdu", "breaker_closed"] < 0.5
    given = drive["rack", "other_it_w"]
    return Commands(
        available=bool((drive["utility", "available"] > 0.5).all()),
        bypass=asked.astype(np.float64) if np.count_nonzero(asked) else None,
        connected=(drive["ups", "isolated"] < 0.5).astype(np.float64),
        health=drive["ups", "battery_health"].copy(),
        closed=(~reset & (drive["pdu", "failed"] < 0.5)).astype(np.float64),
        reset=reset.astype(np.float64),
        other_w=None if np.isnan(given).all() else given.copy(),
        other_most_w=drive["rack", "load_cap_pct"] * (0.01 * rated_w),
        lighting_w=np.zeros((drive.members, lighting_w.shape[1])) + lighting_w,
    )
