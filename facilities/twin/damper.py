"""What a discharge damper costs: its pressure drop goes with one over the free area squared."""

from __future__ import annotations

import numpy as np

from .site import Floats


def throttled(opening_pct: Floats, *, share: float, leak: float) -> Floats:
    """Pressure added to that of the open system, as a share of the fan's pressure; 0 when open.

    ``opening_pct`` 0..100 in any shape; ``share`` is what the open damper takes of the fan's
    pressure, ``leak`` the free area of a closed one over that of the open one.
    """
    return share * (np.maximum(opening_pct * 0.01, leak) ** -2.0 - 1.0)
