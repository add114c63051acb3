"""The streaming tests: every reading gets its QARTOD flag before it is stored.

The tests are gross range (fail), suspect range, rate of change, spike, flat line, a clock that
runs ahead, and the standing verdict of the slow tests (drift, disagreement, attenuation); the
worst flag wins. A value that no test could judge is *unknown*.

A reading that is not newer than what its point has shown already is *late*: its value alone is
judged (range, standing verdict), and it changes no state. So is one from the future. What is usual
for a point is as of the batch's beginning: a long batch of history teaches the next one.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

import numpy as np
import numpy.typing as npt
from django.db import DatabaseError

from facilities.ingest.points import PointColumns
from facilities.ingest.samples import Batch, Flags, Floats, Ints, Times
from facilities.models.reading import Quality
from facilities.quality import limits as defaults
from facilities.quality.limits import Limits, read_limits
from facilities.quality.memory import NEVER, Memory

logger = logging.getLogger(__name__)

REFRESH_S: Final = 15.0
"""How old the slow tests' standing verdicts may be in a process."""

GOOD, UNKNOWN = np.uint8(Quality.GOOD), np.uint8(Quality.UNKNOWN)
SUSPECT, FAIL = np.uint8(Quality.SUSPECT), np.uint8(Quality.FAIL)

_AHEAD_US: Final = int(defaults.AHEAD_S * 1e6)
Mask = npt.NDArray[np.bool_]


class StreamQuality:
    """The tests and their memory in one process. Safe to call from several threads.

    ``limits`` replaces what is read from the database, for tests and benchmarks; then nothing is
    restored from it either.
    """

    def __init__(self, *, limits: Limits | None = None) -> None:
        self._lock = threading.Lock()
        self._given = limits
        self._columns: PointColumns | None = None
        self._limits: Limits
        self._memory = Memory.empty(0)
        self._refreshed = 0.0

    def check(self, columns: PointColumns, batch: Batch, now_us: int) -> Flags:
        """Flag every reading of the batch, in its order; remember what later ones need.

        Cost: below 0.3 µs a reading in batches of 1,000 (benchmarks/quality.py). Reads the
        database when the data list changed, and every ``REFRESH_S`` seconds.
        """
        with self._lock:
            self._adopt(columns)
            return self._check(batch, now_us)

    def _adopt(self, columns: PointColumns) -> None:
        """Follow the data list; a change of it keeps what is remembered of its points."""
        now = time.monotonic()
        if columns is not self._columns:
            limits = self._given or read_limits(columns)
            memory = Memory.empty(len(columns))
            if self._columns is not None:
                memory = self._memory.moved(self._columns, columns)
            if self._given is None:
                memory.restore(columns)
            self._memory, self._limits, self._columns = memory, limits, columns
            self._refreshed = now
            self._derive()
        elif self._given is None and now - self._refreshed > REFRESH_S:
            self._memory.fade(now - self._refreshed)
            self._refreshed = now
            try:
                self._memory.read_standing(columns)
            except DatabaseError as error:
                logger.warning("standing verdicts are not renewed: %s", error)

    def _derive(self) -> None:
        """What ``_check`` needs of the limits, computed once."""
        limits = self._limits
        with np.errstate(divide="ignore"):
            self._per_tau = np.where(limits.tau_s > 0, 1e-6 / limits.tau_s, np.inf)
        self._gap_us = (limits.gap_s * 1e6).astype(np.int64)
        self._half_step = limits.step * 0.5
        # The lag's own limit is a default: a declared rate or spike limit replaces it.
        default = np.isnan(limits.rate_suspect) & np.isnan(limits.spike_suspect)
        self._jump = np.where(default, limits.jump, np.nan)
        self._all_ranged = bool(limits.ranged.all())
        self._any_suspect_range = bool(
            np.isfinite(limits.suspect_low).any() or np.isfinite(limits.suspect_high).any()
        )
        declared = (
            limits.rate_suspect,
            limits.rate_fail,
            limits.spike_suspect,
            limits.spike_fail,
        )
        self._any_declared = any(bool(np.isfinite(part).any()) for part in declared)

    def _check(self, batch: Batch, now_us: int) -> Flags:
        limits, memory, row, value = self._limits, self._memory, batch.row, batch.value
        flags = memory.standing.take(row)
        outside = ~((value >= limits.low.take(row)) & (value <= limits.high.take(row)))
        ahead = batch.ts_us > now_us + _AHEAD_US
        unusable = outside | ahead | (batch.ts_us <= memory.last_us.take(row))
        if unusable.any():
            usable = np.flatnonzero(~unusable)
            found, judged = self._history(row[usable], batch.ts_us[usable], value[usable])
            flags[usable] = np.maximum(flags[usable], found)
            flags[ahead] = np.maximum(flags[ahead], SUSPECT)
        else:
            usable = None
            found, judged = self._history(row, batch.ts_us, value)
            np.maximum(flags, found, out=flags)
        if self._any_suspect_range:
            doubtful = (value < limits.suspect_low[row]) | (value > limits.suspect_high[row])
            flags[doubtful] = np.maximum(flags[doubtful], SUSPECT)
        if not self._all_ranged:
            blind = ~limits.ranged[row]
            blind[usable[judged] if usable is not None else judged] = False
            flags[blind & (flags == GOOD)] = UNKNOWN
        flags[outside] = FAIL
        return flags

    def _history(self, row: Ints, ts_us: Times, value: Floats) -> tuple[Flags, Mask]:
        """Flags from what came before, and which readings such a test could judge."""
        order = None
        new = row[1:] != row[:-1]
        if not (((row[1:] > row[:-1]) | (~new & (ts_us[1:] > ts_us[:-1]))).all()):
            order = np.lexsort((ts_us, row))
            row, ts_us, value = row[order], ts_us[order], value[order]
            new = row[1:] != row[:-1]
        flags, judged = self._ordered(row, ts_us, value, new)
        if order is None:
            return flags, judged
        back_flags, back_judged = np.empty_like(flags), np.empty_like(judged)
        back_flags[order], back_judged[order] = flags, judged
        return back_flags, back_judged

    def _ordered(self, row: Ints, ts_us: Times, value: Floats, new: Mask) -> tuple[Flags, Mask]:
        """The same for readings in the order of (row, time); updates the memory."""
        memory = self._memory
        before_us, before = memory.last_us.take(row), memory.last.take(row)
        earlier = memory.before.take(row)
        alone = bool(new.all())
        if not alone:  # what came before is in the batch itself, except for each point's first
            same_point = np.flatnonzero(~new) + 1
            earlier[same_point] = before[same_point - 1]
            before_us[same_point] = ts_us[same_point - 1]
            before[same_point] = value[same_point - 1]
            third = same_point[~new[same_point - 2] & (same_point > 1)]
            earlier[third] = value[third - 2]
        since_us = ts_us - before_us
        near = since_us <= self._gap_us.take(row)
        change = np.abs(value - before)
        flags, judged = self._changes(row, value, earlier, since_us, near, change)
        self._runs(row, ts_us, value, before, new, near, change, flags, judged)
        last = slice(None) if alone else np.flatnonzero(np.append(new, True))
        at = row[last]
        memory.last_us[at] = ts_us[last]
        memory.last[at] = value[last]
        memory.before[at] = before[last]
        return flags, judged

    def _changes(
        self, row: Ints, value: Floats, earlier: Floats, since_us: Times, near: Mask, change: Floats
    ) -> tuple[Flags, Mask]:
        """Rate of change and spike. Coming back to the value before a spike is no spike."""
        limits = self._limits
        allowed = self._jump.take(row)
        allowed *= -np.expm1(-since_us * self._per_tau.take(row))
        allowed += limits.slack.take(row)
        judged = near & (allowed == allowed)  # NaN: nothing to compare with
        flags = np.ones(len(row), np.uint8)
        suspect = near & (change > allowed)
        if suspect.any():
            at = np.flatnonzero(suspect)
            flags[at[~(np.abs(value[at] - earlier[at]) <= allowed[at])]] = SUSPECT
        if self._any_declared:
            self._declared(row, value, earlier, since_us, near, change, flags)
            judged |= near & ~(np.isnan(limits.rate_suspect) & np.isnan(limits.spike_suspect))[row]
        return flags, judged

    def _declared(
        self,
        row: Ints,
        value: Floats,
        earlier: Floats,
        since_us: Times,
        near: Mask,
        change: Floats,
        flags: Flags,
    ) -> None:
        """Declared limits of rate and spike, as QARTOD defines them."""
        limits = self._limits
        rate = np.where(near, change / np.maximum(since_us * 1e-6, 1e-9), 0.0)
        spike = np.where(near, np.minimum(change, _or_inf(np.abs(value - earlier))), 0.0)
        flags[(rate > limits.rate_suspect[row]) | (spike > limits.spike_suspect[row])] = SUSPECT
        flags[(rate > limits.rate_fail[row]) | (spike > limits.spike_fail[row])] = FAIL

    def _runs(
        self,
        row: Ints,
        ts_us: Times,
        value: Floats,
        before: Floats,
        new: Mask,
        near: Mask,
        change: Floats,
        flags: Flags,
        judged: Mask,
    ) -> None:
        """Flat line: how long the value has not moved, against what is usual for the point.

        A value at zero or at an end of its range stands still for a reason and is not judged by
        what was learned; declared limits judge it all the same.
        """
        limits, memory = self._limits, self._memory
        half = self._half_step.take(row)
        run_us, run_value = memory.run_us.take(row), memory.run_value.take(row)
        moved = (change > half) | (np.abs(value - run_value) > limits.step.take(row))
        begins = moved | ~near
        alone = bool(new.all())
        previous_us = run_us
        if alone:
            run_us = np.where(begins, ts_us, run_us)
            run_value = np.where(begins, value, run_value)
        else:
            places = np.arange(len(row))
            first = np.empty(len(row), np.bool_)
            first[0], first[1:] = True, new
            # Within the batch only neighbours are compared: the first run's value is the memory's.
            moved &= first | (change > half)
            begins = moved | ~near
            start = np.maximum.accumulate(np.where(begins | first, places, 0))
            run_us = np.where(begins[start], ts_us[start], run_us[start])
            run_value = np.where(begins[start], value[start], run_value[start])
            previous_us = np.where(first, previous_us, np.roll(run_us, 1))
        run_s = (ts_us - run_us) * 1e-6
        longest = memory.longest_s.take(row)
        usual = np.maximum(limits.flat_floor_s.take(row), longest * defaults.FLAT_FACTOR)
        usual[memory.changes.take(row) < defaults.FLAT_LEARNED] = np.nan
        idle = _idle(value, limits.low.take(row), limits.high.take(row))
        suspect_s = limits.flat_suspect_s.take(row)
        learned = np.isnan(suspect_s)
        suspect_s = np.where(learned, np.where(idle, np.nan, usual), suspect_s)
        judged |= ~np.isnan(suspect_s)
        flat = run_s >= suspect_s
        if flat.any():
            at = np.flatnonzero(flat)
            fail_s = np.where(
                learned[at], suspect_s[at] * defaults.FLAT_FACTOR, limits.flat_fail_s[row[at]]
            )
            flags[at] = np.maximum(flags[at], np.where(run_s[at] >= fail_s, FAIL, SUSPECT))
        self._learn(row, ts_us, before, near & moved, previous_us, usual)
        last = slice(None) if alone else np.flatnonzero(np.append(new, True))
        memory.run_us[row[last]] = run_us[last]
        memory.run_value[row[last]] = run_value[last]

    def _learn(
        self,
        row: Ints,
        ts_us: Times,
        before: Floats,
        ended: Mask,
        previous_us: Times,
        usual: Floats,
    ) -> None:
        """Take completed runs into what is usual, at most up to what was still unsuspicious."""
        at = np.flatnonzero(ended & (previous_us > NEVER))
        rows = row[at]
        live = ~_idle(before[at], self._limits.low[rows], self._limits.high[rows])
        at, rows = at[live], rows[live]
        lasted_s = np.fmin((ts_us[at] - previous_us[at]) * 1e-6, usual[at])
        np.maximum.at(self._memory.longest_s, rows, lasted_s)
        np.add.at(self._memory.changes, rows, 1)


def _idle(value: Floats, low: Floats, high: Floats) -> Mask:
    """A value that stands still for a reason: nothing is measured, or the range ends."""
    return (value == 0.0) | (value <= low) | (value >= high)


def _or_inf(change: Floats) -> Floats:
    """A change that is not known as the largest there is."""
    return np.where(np.isnan(change), np.inf, change)
