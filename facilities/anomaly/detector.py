"""The online detector: ten cheap tests per reading, each measured against its own records.

Strictly online: a score depends on the readings up to and including its own. One set of constants
for every point; nothing is fitted. A row's state is 1.2 kB; a step takes about 3 µs per row in
batches of 1,000 (benchmarks/anomaly.py).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from .records import Records
from .season import Season

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

EXPERTS: Final = (
    "high",  # far above the mean
    "low",  # far below it
    "jump",  # far from the reading before
    "short_high",  # mean of the last 6 readings
    "short_low",
    "long_high",  # mean of the last 36 readings
    "long_low",
    "season_high",  # above what the time of day explains
    "season_low",
    "restless",  # changes more than usual
)

SLOW: Final = 1.0 / 2_000
SHORT: Final = 1.0 / 6
LONG: Final = 1.0 / 36
RESTLESS: Final = 1.0 / 48
"""Weights of a new reading in the running means. assumed; neighbours of these score alike on NAB."""
LEARN_SAMPLES: Final = 30
"""Readings before a deviation is worth remembering. assumed"""
WARM_SAMPLES: Final = 150
"""Readings before a point gets a score. assumed"""
GROWN_SAMPLES: Final = 600
"""Readings until a surprise counts in full: records are common while little has been seen. assumed"""
HOLD_SAMPLES: Final = 150
"""Time constant of the silence after an anomaly: a lesser one is part of it. assumed"""
ECHO: Final = 0.05
"""What a surprise within the silence still counts."""
CAP: Final = 4.0
"""Surprise beyond this is no more surprising."""
FLOOR_SD: Final = 1.0
"""Deviations below one standard deviation are as good as none."""
MARGIN_STEPS: Final = 2.0
"""A record broken by two steps of the instrument's precision is none: rounding alone does it."""
GAP_INTERVALS: Final = 12.0
"""After a gap of so many intervals the short memories start again."""
WINSOR_SD: Final = 5.0
"""The mean and variance learn from a deviation as if it were at most this."""

_COUNT, _MEAN, _VAR, _LAST, _SHORT, _LONG, _STEP, _STEPS, _TS, _EVERY, _PEAK = range(11)


class Scored(NamedTuple):
    """Per reading: surprise (0 while warming up), the held surprise, winning test, its expectation.

    ``held`` falls off slowly after an anomaly, for alarms and pages; ``surprise`` marks its start.
    """

    surprise: Floats
    held: Floats
    expert: npt.NDArray[np.int8]
    expected: Floats


class Detector:
    """State of the detector for rows 0…n−1; ``grow`` adds rows."""

    def __init__(self, rows: int = 0) -> None:
        self.moments = np.zeros((rows, 11))
        self.records = Records(rows, len(EXPERTS))
        self.season = Season(rows)

    @property
    def rows(self) -> int:
        """Rows there are."""
        return len(self.moments)

    def grow(self, rows: int) -> None:
        """Have at least so many rows; the new ones start from nothing."""
        if rows <= self.rows:
            return
        fresh = Detector(rows - self.rows)
        self.put(
            {name: np.concatenate([a, fresh.arrays()[name]]) for name, a in self.arrays().items()}
        )

    def take(self, rows: Ints) -> None:
        """Keep these rows only, in this order."""
        self.put({name: array[rows] for name, array in self.arrays().items()})

    def last_us(self) -> Ints:
        """Time of each row's newest reading, µs since 1970; 0 when it has had none."""
        return self.moments[:, _TS].astype(np.int64)

    def held(self) -> Floats:
        """Each row's held surprise."""
        return self.moments[:, _PEAK]

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the whole state by name, rows first; the arrays are the detector's own."""
        found: dict[str, npt.NDArray[np.generic]] = {"moments": self.moments}
        for part, name in self._parts():
            found[f"{type(part).__name__.lower()}_{name}"] = getattr(part, name)
        return found

    def put(self, arrays: dict[str, npt.NDArray[np.generic]]) -> None:
        """Take over a state as ``arrays`` gave it."""
        self.moments = arrays["moments"].astype(np.float64)
        for part, name in self._parts():
            setattr(part, name, arrays[f"{type(part).__name__.lower()}_{name}"])

    def _parts(self) -> list[tuple[Records | Season, str]]:
        parts: tuple[Records | Season, ...] = (self.records, self.season)
        return [(part, name) for part in parts for name in part.ARRAYS]

    def warm(self) -> npt.NDArray[np.bool_]:
        """Rows that have had enough readings to be scored."""
        return np.asarray(self.moments[:, _COUNT] >= WARM_SAMPLES)

    def step(
        self, rows: Ints, ts_us: Ints, value: Floats, precision: Floats | float = 0.0
    ) -> Scored:
        """Score one reading of each row (rows distinct, values finite) and learn from it.

        ``precision`` is the smallest meaningful difference in the value's unit. A reading that is
        not newer than the row's last is ignored and scores 0.
        """
        state = self.moments[rows]
        fresh = ts_us > state[:, _TS]
        if not fresh.all():
            return self._some(rows, ts_us, value, precision, fresh)
        count = state[:, _COUNT]
        self._start(state, ts_us, value)
        mean, last = state[:, _MEAN].copy(), state[:, _LAST].copy()
        spread = np.sqrt(state[:, _VAR]) + 1e-6 * np.abs(mean) + 1e-9
        spread = np.maximum(spread, precision)
        step = np.abs(value - last)
        self._advance(state, value, step, spread)
        seasonal = self.season.judge(rows, ts_us, value, mean, state[:, _VAR], state[:, _EVERY])
        error = value - mean
        short, long = state[:, _SHORT] - mean, state[:, _LONG] - mean
        tiny = 0.01 * spread
        restless = np.log2((state[:, _STEP] + tiny) / (state[:, _STEPS] + tiny))
        deviation = np.stack(
            [error, -error, step, short, -short, long, -long,
             seasonal.outside, -seasonal.outside, restless],
            axis=1,
        )  # fmt: skip
        deviation[count < LEARN_SAMPLES] = np.nan
        floor = np.repeat(FLOOR_SD * spread[:, None], len(EXPERTS), axis=1)
        floor[:, -1] = 1.0  # restless: twice as much as usual
        self._learn(state, error, step, spread)
        self.moments[rows] = state
        margin = np.zeros_like(floor)
        margin[:, :-1] = np.reshape(MARGIN_STEPS * np.asarray(precision), (-1, 1))
        surprise = self.records.surprise(rows, deviation, floor, margin)
        expert = surprise.argmax(axis=1)
        best = np.clip(surprise[np.arange(len(rows)), expert], 0.0, CAP)
        best *= np.minimum(state[:, _COUNT] / GROWN_SAMPLES, 1.0)
        best[state[:, _COUNT] <= WARM_SAMPLES] = 0.0
        expected = np.choose(
            np.searchsorted((2, 3, 7, 9), expert, side="right"),
            [mean, last, mean, seasonal.expected, last],
        )
        return self._hold(rows, best, expert.astype(np.int8), expected)

    def _some(
        self,
        rows: Ints,
        ts_us: Ints,
        value: Floats,
        precision: Floats | float,
        fresh: npt.NDArray[np.bool_],
    ) -> Scored:
        """Score only the fresh ones; the others get nothing."""
        n = len(rows)
        out = Scored(np.zeros(n), self.moments[rows, _PEAK], np.zeros(n, np.int8), value.copy())
        if fresh.any():
            least = np.broadcast_to(precision, n)[fresh]
            some = self.step(rows[fresh], ts_us[fresh], value[fresh], least)
            out.surprise[fresh], out.held[fresh] = some.surprise, some.held
            out.expert[fresh], out.expected[fresh] = some.expert, some.expected
        return out

    @staticmethod
    def _start(state: Floats, ts_us: Ints, value: Floats) -> None:
        """Begin new rows at their first value, and short memories anew after a gap."""
        first = state[:, _COUNT] == 0
        passed = (ts_us - state[:, _TS]) / 1e6
        gap = ~first & (state[:, _COUNT] > 2) & (passed > GAP_INTERVALS * state[:, _EVERY])
        for column in (_LAST, _SHORT, _LONG):
            state[:, column] = np.where(first | gap, value, state[:, column])
        state[:, _MEAN] = np.where(first, value, state[:, _MEAN])
        weight = np.maximum(0.02, 1.0 / np.maximum(state[:, _COUNT], 1.0))
        learned = state[:, _EVERY] + (passed - state[:, _EVERY]) * weight
        state[:, _EVERY] = np.where(first | gap, state[:, _EVERY], learned)
        state[:, _TS] = ts_us

    @staticmethod
    def _advance(state: Floats, value: Floats, step: Floats, spread: Floats) -> None:
        """Move the short memories on."""
        young = 1.0 / (state[:, _COUNT] + 1.0)
        state[:, _SHORT] += (value - state[:, _SHORT]) * np.maximum(SHORT, young)
        state[:, _LONG] += (value - state[:, _LONG]) * np.maximum(LONG, young)
        state[:, _STEP] += (step - state[:, _STEP]) * np.maximum(RESTLESS, young)
        state[:, _LAST] = value

    @staticmethod
    def _learn(state: Floats, error: Floats, step: Floats, spread: Floats) -> None:
        """Move the long memories on, after they have judged."""
        weight = np.maximum(SLOW, 1.0 / (state[:, _COUNT] + 1.0))
        limit = WINSOR_SD * spread
        error = np.where(state[:, _COUNT] > LEARN_SAMPLES, np.clip(error, -limit, limit), error)
        state[:, _MEAN] += weight * error
        state[:, _VAR] = (1.0 - weight) * (state[:, _VAR] + weight * error * error)
        state[:, _STEPS] += (step - state[:, _STEPS]) * weight
        state[:, _COUNT] += 1

    def _hold(
        self, rows: Ints, best: Floats, expert: npt.NDArray[np.int8], expected: Floats
    ) -> Scored:
        """Let an anomaly silence lesser ones for a while."""
        peak = self.moments[rows, _PEAK]
        surprise = np.where(best > peak, best, best * ECHO)
        held = np.maximum(peak * (1.0 - 1.0 / HOLD_SAMPLES), best)
        self.moments[rows, _PEAK] = held
        return Scored(surprise, held, expert, expected)
