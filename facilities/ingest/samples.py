"""What the stages of ingestion hand to one another: columns, never rows of objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]
Times = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.uint8]

STALE_BITS = 0x7FF0_0000_0000_0002
"""Prometheus' stale marker: the NaN that says "this series has ended" (remote write 1.0)."""


class Rejected(NamedTuple):
    """One item that is not taken: where it stood, why, and what it said."""

    index: int  # type: ignore[assignment]  # a field, as the API names it; hides tuple.index
    code: str
    detail: str
    raw: str = ""


@dataclass(slots=True)
class Samples:
    """One request as its decoder understood it: series and their samples.

    ``names`` are the distinct series keys, ``series`` indexes them. ``ts_us`` is in microseconds
    since 1970-01-01 UTC. ``value`` may hold NaN and infinities. ``index`` is each sample's place
    in the request. The four arrays have one length. ``text`` holds, by position in the arrays,
    what a sample said that is no number (its value is NaN). ``hints`` are units or descriptions
    that the format carries.
    """

    names: list[str]
    series: Ints
    ts_us: Times
    value: Floats
    index: Ints
    rejected: list[Rejected] = field(default_factory=list)
    hints: dict[str, str] = field(default_factory=dict)
    text: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.series)

    def raw(self, position: int) -> str:
        """The sample at ``position`` of the arrays as text for the quarantine."""
        shown = self.text.get(position)
        value = repr(float(self.value[position])) if shown is None else shown
        return f"{self.names[self.series[position]]} {value} {int(self.ts_us[position])}"


@dataclass(slots=True)
class Batch:
    """Samples whose points are known. ``row`` indexes the ``PointColumns`` they were resolved with.

    ``value`` is in the point's unit; ``ts_us`` and ``index`` as in ``Samples``. The four arrays
    have one length.
    """

    row: Ints
    ts_us: Times
    value: Floats
    index: Ints
    rejected: list[Rejected] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.row)

    def take(self, which: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Batch:
        """The samples that a mask or an order selects, with the same rejections."""
        return Batch(
            self.row[which],
            self.ts_us[which],
            self.value[which],
            self.index[which],
            self.rejected,
        )


def samples_of(
    rows: Sequence[tuple[str, int, float]], rejected: list[Rejected] | None = None
) -> Samples:
    """Build ``Samples`` from (series key, ts_us, value) rows; for decoders of small bodies."""
    names: dict[str, int] = {}
    series = np.fromiter(
        (names.setdefault(key, len(names)) for key, _, _ in rows), np.int32, len(rows)
    )
    return Samples(
        names=list(names),
        series=series,
        ts_us=np.fromiter((ts for _, ts, _ in rows), np.int64, len(rows)),
        value=np.fromiter((value for _, _, value in rows), np.float64, len(rows)),
        index=np.arange(len(rows), dtype=np.int32),
        rejected=rejected if rejected is not None else [],
    )


def is_stale(value: Floats) -> npt.NDArray[np.bool_]:
    """Which values are Prometheus' stale marker, bit for bit."""
    return value.view(np.uint64) == STALE_BITS
