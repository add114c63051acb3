"""Fewer samples that look the same: which readings of many are shown."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tsdownsample import LTTBDownsampler, M4Downsampler, MinMaxDownsampler

from facilities.models.reading import Quality

from .fetch import Readings

_LIBRARY: Final[dict[str, Any]] = {
    "minmax": MinMaxDownsampler(),
    "m4": M4Downsampler(),
    "lttb": LTTBDownsampler(),
}
_STEP: Final = {"minmax": 2, "m4": 4, "lttb": 1}
LEAST: Final = 8
"""Below this many samples the library has no two intervals; the extremes alone are kept."""

BAD_SHARE: Final = 4
"""Bad readings get one in so many of the samples, so that they neither hide nor are hidden."""


def chosen(
    ts: npt.NDArray[np.float64], value: npt.NDArray[np.float64], count: int, method: str
) -> npt.NDArray[np.int64]:
    """Positions of at most ``count`` samples, ascending.

    ``minmax`` keeps the lowest and highest of each interval, ``m4`` its first and last too, so no
    excursion disappears; ``lttb`` keeps the shape and may drop an excursion.
    """
    if len(ts) <= count:
        return np.arange(len(ts))
    if count < LEAST:
        return np.unique([int(np.argmin(value)), int(np.argmax(value))])[:count]
    step = _STEP[method]
    # Whole microseconds: the library compares the x axis as integers.
    x = np.round((ts - ts[0]) * 1e6).astype(np.int64)
    picked = _LIBRARY[method].downsample(x, np.ascontiguousarray(value), n_out=count // step * step)
    return np.unique(picked.astype(np.int64))


def thinned(rows: Readings, count: int, method: str) -> Readings:
    """At most ``count`` of the readings of one point. Usable and bad ones are chosen apart."""
    if len(rows.ts) <= count:
        return rows
    bad = rows.flag >= Quality.FAIL
    usable = np.flatnonzero(~bad)
    spoilt = np.flatnonzero(bad)
    for_spoilt = min(len(spoilt), max(count // BAD_SHARE, count - len(usable))) if count > 2 else 0
    if not len(usable):
        for_spoilt = count
    keep = np.concatenate(
        [
            usable[chosen(rows.ts[usable], rows.value[usable], count - for_spoilt, method)]
            if len(usable)
            else usable,
            spoilt[chosen(rows.ts[spoilt], rows.value[spoilt], for_spoilt, "minmax")]
            if for_spoilt
            else spoilt[:0],
        ]
    )
    keep.sort()
    return Readings(rows.n[keep], rows.ts[keep], rows.value[keep], rows.flag[keep])
