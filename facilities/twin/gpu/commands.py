"""What of the drive the GPUs need, worked out once until the drive changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..drive import Drive
from ..site import Flags, Floats
from .layout import Layout
from .parameters import GpuConstants


@dataclass(frozen=True, slots=True)
class Commands:
    """Arrays (members, gpus) that follow from drive and constants alone."""

    limit_w: Floats
    resistance: Floats  # of the heat sink, times new
    die_k_per_w: Floats
    there: Floats | None  # 0 where lost; None: none is
    braked: Flags | None  # None: none is


def commands(layout: Layout, p: GpuConstants, drive: Drive) -> Commands:
    """The commands of a drive; valid until the drive changes."""
    resistance, lost = drive["gpu", "thermal_resistance"].copy(), drive["gpu", "lost"]
    brake = drive["server", "power_brake"]
    braked = brake.take(layout.gpu_server, axis=1) > 0 if np.count_nonzero(brake) else None
    return Commands(
        limit_w=enforced(layout, drive),
        resistance=resistance,
        die_k_per_w=p.die_k_per_w * resistance,
        there=1.0 - lost if np.count_nonzero(lost) else None,
        braked=braked,
    )


def enforced(layout: Layout, drive: Drive) -> Floats:
    """Power limit in force, W: what is set, within what the device allows and what the rack's
    cap leaves each GPU.
    """
    cap = drive["rack", "load_cap_pct"].take(layout.gpu_rack, axis=1)
    cap *= 0.01 * layout.max_w
    np.minimum(cap, drive["gpu", "power_limit_w"], out=cap)
    return np.clip(cap, layout.min_limit_w, layout.max_w, out=cap)
