"""How long until a limit is crossed: reading of a simulated trajectory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facilities.twin.site import Floats
from facilities.twin.trajectory import Trajectory


def first_crossing_s(times_s: Floats, values: NDArray[np.floating], limit: float) -> Floats:
    """Seconds until ``values`` (times, members, n) first exceed ``limit``: (members, n).

    Interpolated between samples; 0 where the first sample is above it, inf where none is.
    """
    above = values > limit
    first = above.argmax(axis=0)
    before = np.maximum(first - 1, 0)
    now = np.take_along_axis(values, first[None], axis=0)[0].astype(np.float64)
    last = np.take_along_axis(values, before[None], axis=0)[0].astype(np.float64)
    share = np.where(first > 0, (limit - last) / np.where(now > last, now - last, 1.0), 0.0)
    crossing = times_s[before] + share * (times_s[first] - times_s[before])
    return np.where(above.any(axis=0), crossing, np.inf)


def time_to(trajectory: Trajectory, limit_c: float = 32.0, *, variant: int = 0) -> Floats:
    """Seconds until the hottest rack inlet of each member exceeds ``limit_c``; inf: it does not.

    32 °C is the allowable limit of class A1. Raises ``KeyError`` if inlets were not recorded.
    """
    inlet = trajectory.values["rack", "inlet_c"]
    size = inlet.shape[1] // trajectory.variants
    members = inlet[:, variant * size : (variant + 1) * size]
    return first_crossing_s(trajectory.times_s, members.max(axis=2)[:, :, None], limit_c)[:, 0]
