"""From the detector's surprise to the published score."""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

HALF_SURPRISE: Final = 1.0
"""Surprise that becomes the score 0.5. The healthy demo plant passes it some five times in 1,000
point hours (benchmarks/anomaly_plant.py); NAB, where a miss costs nine false alarms, is best at 0.3."""

THRESHOLD: Final = 0.5
"""A published score at or above this is an anomaly."""

Value = TypeVar("Value", float, npt.NDArray[np.float64])


def score01(surprise: Value) -> Value:
    """Map surprise 0… to a score from 0 to 1, monotone; ``HALF_SURPRISE`` gives 0.5."""
    return surprise / (surprise + HALF_SURPRISE)
