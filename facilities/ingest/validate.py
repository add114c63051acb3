"""Which converted samples may be stored. Pure and vectorised: no database, no clock.

The treatment of everything odd is the table in docs/ingestion.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from facilities.ingest.points import PointColumns
from facilities.ingest.samples import Batch, is_stale

MAX_FUTURE_S: Final = 300
"""How far a source's clock may run ahead; assumed."""

OLDEST_US: Final = -62_135_596_800_000_000
"""0001-01-01: what both Python and PostgreSQL can write as a date."""

Mask = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Verdict:
    """What is stored (``good``) and which samples are stale markers (``stale``); the rest is not
    taken, and ``reason`` says why.
    """

    columns: PointColumns
    batch: Batch
    good: Mask
    stale: Mask
    now_us: int
    retention_us: int

    def bad(self) -> npt.NDArray[np.intp]:
        """Positions of the samples that are not taken."""
        return np.flatnonzero(~(self.good | self.stale))

    def reason(self, at: int) -> tuple[str, str]:
        """Code and sentence for the bad sample at a position."""
        row = int(self.batch.row[at])
        ts_us, value = int(self.batch.ts_us[at]), float(self.batch.value[at])
        tag, unit = self.columns.tags[row], self.columns.units[row]
        if not np.isfinite(value):
            return "bad_value", f"point {tag}: {value} is not a finite number; leave it out"
        if ts_us > self.now_us + MAX_FUTURE_S * 1_000_000:
            return (
                "future_timestamp",
                f"point {tag}: the time is {(ts_us - self.now_us) / 1e6:.0f} s ahead of this "
                f"server, at most {MAX_FUTURE_S} s is taken; check the source's clock",
            )
        if ts_us < self.now_us - self.retention_us or ts_us < OLDEST_US:
            return (
                "too_old",
                f"point {tag}: the time is {(self.now_us - ts_us) / 86_400e6:.0f} days ago, "
                f"readings are kept {self.retention_us / 86_400e6:.0f} days",
            )
        low, high = float(self.columns.low[row]), float(self.columns.high[row])
        side = "below" if value < low else "above"
        return (
            "out_of_range",
            f"point {tag}: {value:g} {unit} is {side} its range {low:g}…{high:g} {unit}",
        )


def validate(
    columns: PointColumns, batch: Batch, *, strict: Mask, now_us: int, retention_us: int
) -> Verdict:
    """Judge every sample; about 15 ns each. Raises nothing.

    Not taken are NaN and infinities (``bad_value``), times more than ``MAX_FUTURE_S`` ahead of
    ``now_us`` (``future_timestamp``) or further back than ``retention_us`` (``too_old``), and,
    where ``strict``, values outside the point's range (``out_of_range``). The others outside the
    range are stored; their quality flag says FAIL.
    """
    row, ts_us, value = batch.row, batch.ts_us, batch.value
    timely = (ts_us <= now_us + MAX_FUTURE_S * 1_000_000) & (
        ts_us >= max(now_us - retention_us, OLDEST_US)
    )
    good = timely & np.isfinite(value)
    with np.errstate(invalid="ignore"):
        inside = (value >= columns.low[row]) & (value <= columns.high[row])
    good &= inside | ~strict
    stale = timely & is_stale(value) if not good.all() else np.zeros(len(row), np.bool_)
    return Verdict(columns, batch, good, stale, now_us, retention_us)
