"""Energy out of readings: means over equal intervals, gaps, resets of counters. Plain NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

BRIDGED: Final = 3
"""Intervals without a reading that are bridged by a straight line (assumed)."""

COVERED: Final = 0.5
"""An interval counts as measured when this share of its expected readings is there (assumed)."""


@dataclass(frozen=True)
class Grid:
    """Equal intervals that cover [start, end). ``weight_s`` is the part of each inside it."""

    begins: Floats
    width_s: float
    weight_s: Floats

    @property
    def seconds(self) -> float:
        """Length of the period."""
        return float(self.weight_s.sum())


def grid(start: float, end: float, width_s: float) -> Grid:
    """Intervals of whole widths from before ``start`` to after ``end`` (epoch seconds)."""
    first = np.floor(start / width_s) * width_s
    count = max(1, int(np.ceil((end - first) / width_s)))
    begins = first + width_s * np.arange(count)
    weight = np.minimum(begins + width_s, end) - np.maximum(begins, start)
    return Grid(begins, width_s, np.maximum(weight, 0.0))


@dataclass(frozen=True)
class Measured:
    """One quantity by meter and interval, (P, K). ``rate`` is W or L/s, NaN where not known."""

    rate: Floats
    bridged: Floats
    """Intervals of each meter that a line stands for (P,)."""
    negative: Floats
    """Intervals of each meter whose mean was below zero and counts as 0 (P,)."""
    resets: Floats
    """Times that each counter fell (P,)."""

    @property
    def known(self) -> Flags:
        """Where a rate is there, (P, K)."""
        return ~np.isnan(self.rate)


def powers(mean: Floats, usable: Floats, expected: Floats) -> Measured:
    """Rates from interval means, (P, K).

    ``usable`` counts readings, ``expected`` how many there should be (NaN: any number will do).
    Short gaps are bridged by a line between their neighbours (the trapezoid rule); longer ones stay
    unknown. What consumes cannot give: a mean below zero counts as 0.
    """
    enough = (usable > 0) & ~(usable < COVERED * np.nan_to_num(expected))
    rate = np.where(enough, mean, np.nan)
    negative = (rate < 0).sum(axis=1)
    rate = np.where(rate < 0, 0.0, rate)
    filled = _bridged(rate)
    bridged = (np.isnan(rate) & ~np.isnan(filled)).sum(axis=1)
    return Measured(
        filled, bridged.astype(np.float64), negative.astype(np.float64), np.zeros(len(rate))
    )


def counters(highest: Floats, width_s: float) -> Measured:
    """Rates from the highest value of a counter in each interval, (P, K), counter in Wh.

    The rise since the last interval with a value is spread evenly over the time between, if that
    is at most ``BRIDGED`` intervals more. A counter that fell was reset: what it shows is what it
    has counted since (a reset that already shows more than before cannot be seen).
    """
    rate = np.full_like(highest, np.nan)
    resets, bridged = np.zeros(len(highest)), np.zeros(len(highest))
    for row, values in enumerate(highest):
        at = np.flatnonzero(~np.isnan(values))
        rises = np.diff(values[at])
        resets[row] = (rises < 0).sum()
        rises = np.where(rises < 0, values[at][1:], rises)
        spans = np.diff(at)
        for first, span, rise in zip(at[:-1], spans, rises, strict=True):
            if span <= BRIDGED + 1:
                rate[row, first + 1 : first + span + 1] = rise * 3600.0 / (span * width_s)
                bridged[row] += span - 1
    return Measured(rate, bridged, np.zeros(len(highest)), resets)


def _bridged(rate: Floats) -> Floats:
    """Fill gaps of at most ``BRIDGED`` intervals between known neighbours."""
    filled = rate.copy()
    for row in range(len(rate)):
        at = np.flatnonzero(~np.isnan(rate[row]))
        spans = np.diff(at) - 1
        for n in np.flatnonzero((spans > 0) & (spans <= BRIDGED)):
            low, high = at[n], at[n + 1]
            inside = np.arange(low + 1, high)
            filled[row, inside] = np.interp(inside, [low, high], rate[row, [low, high]])
    return filled


def energy_wh(rate_w: Floats, weight_s: Floats) -> float:
    """Energy over the intervals where the rate is known."""
    return float(np.nansum(rate_w * weight_s) / 3600.0)


def total(rates: Floats) -> Floats:
    """Sum over meters, (K,): NaN where one of them is not known; NaN everywhere without meters."""
    if not len(rates):
        return np.full(rates.shape[1], np.nan)
    return np.asarray(rates.sum(axis=0))
