"""Thresholds of the tests, by row of the data list: a point's own, else defaults from its facts.

A sensor's facts say what it can show. A first-order sensor with time constant tau moves within dt
by at most span · (1 − e^(−dt/tau)) (step response of a first-order lag), so a larger change is no
measurement. What physics doesn't settle is marked ``assumed``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from django.db import connection

from facilities.ingest.points import PointColumns
from facilities.ingest.samples import Floats

NOISE_STEPS: Final = 5.0
"""Steps of the precision that noise may add to a change; assumed (a little over 8 sigma of the
difference of two readings with 0.4 steps of noise each)."""
SPIKE_SHARE: Final = 0.25
"""Share of the span by which what a slow sensor measures may itself jump between two readings;
assumed. What the sensor's lag lets through of it is the default limit of spikes."""
FLAT_INTERVALS: Final = 30.0
"""Readings without a change before a sensor that usually moves can be called stuck; assumed."""
FLAT_TAUS: Final = 10.0
"""The same in time constants of the sensor (e^-10 of any step is left after ten); assumed."""
FLAT_MIN_S: Final = 60.0
"""The same in seconds; assumed."""
FLAT_FACTOR: Final = 3.0
"""How much longer than its longest usual run a value must stand still; assumed. Fail at this
factor once more."""
FLAT_LEARNED: Final = 20
"""Changes that must have been seen before the usual run counts as known; assumed."""
GAP_INTERVALS: Final = 5.0
"""Sampling intervals of silence that make a point missing; assumed."""
GAP_MIN_S: Final = 10.0
"""Silence below this is no gap, whatever the interval: delivery takes time; assumed."""
DEFAULT_INTERVAL_S: Final = 60.0
"""Interval of a point that declares none, where a test needs one; assumed."""
AHEAD_S: Final = 5.0
"""A reading from further in the future than this comes from a wrong clock; assumed (NTP keeps
clocks of one site within 0.1 s)."""


@dataclass(slots=True, eq=False)
class Limits:
    """One number per row. NaN: not tested. ``low`` and ``high`` are infinite without a range."""

    low: Floats
    high: Floats
    suspect_low: Floats
    suspect_high: Floats
    span: Floats  # of the range; NaN for a state, a setpoint, or without a range
    slack: Floats  # what noise may add to a change, in the unit
    tau_s: Floats
    rate_suspect: Floats  # declared, unit/s; NaN: the lag's own limit
    rate_fail: Floats
    jump: Floats  # largest credible change of the measured quantity itself, in the unit
    spike_suspect: Floats  # declared, in the unit; NaN: what the lag lets through of ``jump``
    spike_fail: Floats
    flat_suspect_s: Floats  # declared; NaN: learned
    flat_fail_s: Floats
    flat_floor_s: Floats  # of learned limits; NaN: a state or setpoint, which may stand still
    step: Floats  # values within one step are the same value; 0: only equal ones
    gap_s: Floats
    interval_s: Floats
    ranged: npt.NDArray[np.bool_]
    is_state: npt.NDArray[np.bool_]
    redundancy_tolerance: Floats


_FACTS = "SELECT id FROM facilities_point WHERE enum IS NOT NULL OR writable"
OWN = (
    "suspect_low",
    "suspect_high",
    "rate_suspect",
    "rate_fail",
    "spike_suspect",
    "spike_fail",
    "flat_suspect_s",
    "flat_fail_s",
    "gap_s",
    "redundancy_tolerance",
)
_LIMITS = f"SELECT point_id, {', '.join(OWN)} FROM facilities_qualitylimit"  # noqa: S608


def read_limits(columns: PointColumns) -> Limits:
    """Thresholds for these columns, with each point's own from the database (two queries)."""
    with connection.cursor() as cursor:
        cursor.execute(_FACTS)
        states = np.array([row[0] for row in cursor.fetchall()], np.int64)
        cursor.execute(_LIMITS)
        own = {row[0]: row[1:] for row in cursor.fetchall()}
    return limits_of(columns, states=states, own=own)


def limits_of(
    columns: PointColumns,
    *,
    states: npt.NDArray[np.int64],
    own: dict[int, tuple[float | None, ...]],
) -> Limits:
    """Thresholds from facts, the ids of states and setpoints, and declared limits by point id."""
    count = len(columns)
    is_state = np.zeros(count, np.bool_)
    rows = columns.rows_of(states)
    is_state[rows[rows >= 0]] = True
    ranged = np.isfinite(columns.low) & np.isfinite(columns.high)
    span = np.where(ranged, columns.high - columns.low, np.nan)
    step = np.where(columns.precision > 0, columns.precision, 0.0)
    tau = np.where(columns.response_s > 0, columns.response_s, 0.0)
    interval = np.where(columns.interval_s > 0, columns.interval_s, DEFAULT_INTERVAL_S)
    slack = NOISE_STEPS * step
    # A sensor that does not smooth over one interval may truly jump by its whole span.
    smooth = (tau >= interval) & (columns.interval_s > 0) & ~is_state
    floor = np.maximum(np.maximum(FLAT_INTERVALS * interval, FLAT_TAUS * tau), FLAT_MIN_S)
    unset = np.full(count, np.nan)
    limits = Limits(
        low=columns.low,
        high=columns.high,
        suspect_low=np.full(count, -np.inf),
        suspect_high=np.full(count, np.inf),
        span=np.where(is_state, np.nan, span),
        slack=slack,
        tau_s=tau,
        rate_suspect=unset.copy(),
        rate_fail=unset.copy(),
        jump=np.where(is_state, np.nan, np.where(smooth, SPIKE_SHARE * span, span)),
        spike_suspect=unset.copy(),
        spike_fail=unset.copy(),
        flat_suspect_s=unset.copy(),
        flat_fail_s=unset.copy(),
        flat_floor_s=np.where(is_state, np.nan, floor),
        step=step,
        gap_s=np.maximum(GAP_INTERVALS * interval, GAP_MIN_S),
        interval_s=interval,
        ranged=np.isfinite(columns.low) | np.isfinite(columns.high),
        is_state=is_state,
        redundancy_tolerance=unset.copy(),
    )
    ids = np.array(list(own), np.int64)
    for row, values in zip(columns.rows_of(ids), own.values(), strict=True):
        if row < 0:
            continue
        for name, value in zip(OWN, values, strict=True):
            if value is not None:
                getattr(limits, name)[row] = value
    return limits
