"""Rejected items are kept: written in the transaction of the readings beside them.

Bounded three ways, each counted in ``QuarantineDrops``: a source's items per minute and process
(*flood*, here), items per source (*count*) and their age (*age*, both by ``quarantine_prune``).
"""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import numpy as np
from django.db.backends.utils import CursorWrapper

from facilities.ingest.samples import Rejected, Samples

MAX_RAW: Final = 2_000
MAX_SERIES: Final = 512
MAX_TEXT: Final = 200
MAX_PER_MINUTE: Final = 20_000
"""Items that one process writes for one source in a minute; assumed: ten times a usual mistake."""

_INSERT: Final = """
INSERT INTO facilities_quarantineditem
    (source_id, at, code, detail, series, ts_us, value, text, hint, raw, digest, state, attempts)
SELECT *, 'waiting', 0 FROM unnest(
    %s::bigint[], %s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::bigint[],
    %s::float8[], %s::text[], %s::text[], %s::text[], %s::uuid[])
ON CONFLICT (source_id, digest) DO NOTHING
"""
_DROPPED: Final = """
INSERT INTO facilities_quarantinedrops (source_id, day, reason, count) VALUES (%s, %s, %s, %s)
ON CONFLICT (source_id, day, reason) DO UPDATE
SET count = facilities_quarantinedrops.count + EXCLUDED.count
"""


class QuarantineItem(NamedTuple):
    """One rejected item. ``value`` and ``ts_us`` are None where the decoder got nothing."""

    source_id: int
    at: datetime
    code: str
    detail: str
    series: str
    ts_us: int | None
    value: float | None
    text: str | None
    hint: str
    raw: str


def quarantine_items(
    source_id: int, samples: Samples | None, rejected: Sequence[Rejected], at: datetime
) -> list[QuarantineItem]:
    """Items of one request: ``rejected`` with what the decoder made of each, for a replay."""
    if not rejected:
        return []
    where = _positions(samples, rejected) if samples is not None else {}
    items = []
    for item in rejected:
        position = where.get(item.index)
        if samples is None or position is None:
            items.append(
                QuarantineItem(
                    source_id, at, item.code, item.detail, "", None, None, None, "", item.raw
                )
            )
            continue
        series = samples.names[samples.series[position]]
        items.append(
            QuarantineItem(
                source_id,
                at,
                item.code,
                item.detail,
                series,
                int(samples.ts_us[position]),
                float(samples.value[position]),
                samples.text.get(position),
                samples.hints.get(series, ""),
                item.raw or samples.raw(position),
            )
        )
    return items


def _positions(samples: Samples, rejected: Sequence[Rejected]) -> dict[int, int]:
    if not len(samples):
        return {}
    wanted = np.fromiter((item.index for item in rejected), np.int64, len(rejected))
    found = np.flatnonzero(np.isin(samples.index, wanted))
    return dict(zip(samples.index[found].tolist(), found.tolist(), strict=True))


def quarantine_store(cursor: CursorWrapper, items: Sequence[QuarantineItem]) -> int:
    """Write the items with the cursor's transaction; returns how many are new.

    What was said before in the same words (a repeated request) adds nothing.
    """
    kept, dropped = _within_bounds(items)
    stored = 0
    if kept:
        # One order for all writers, so that two of them cannot wait in a circle.
        rows = sorted({(item.source_id, _digest(item)): _clean(item) for item in kept}.items())
        columns = list(zip(*(values for _, values in rows), strict=True))
        cursor.execute(_INSERT, [list(column) for column in columns] + [[k[1] for k, _ in rows]])
        stored = cursor.rowcount
    for source_id, count in sorted(dropped.items()):
        drops_add(cursor, source_id, "flood", count)
    return stored


def drops_add(cursor: CursorWrapper, source_id: int, reason: str, count: int) -> None:
    """Count items that the quarantine did not keep."""
    cursor.execute(_DROPPED, [source_id, datetime.now(UTC).date(), reason, count])


_tally: dict[int, tuple[int, int]] = {}
_lock = threading.Lock()


def _within_bounds(
    items: Sequence[QuarantineItem],
) -> tuple[list[QuarantineItem], dict[int, int]]:
    minute = int(time.monotonic() // 60)
    kept: list[QuarantineItem] = []
    dropped: dict[int, int] = {}
    with _lock:
        for item in items:
            then, count = _tally.get(item.source_id, (minute, 0))
            count = count + 1 if then == minute else 1
            _tally[item.source_id] = (minute, count)
            if count <= MAX_PER_MINUTE:
                kept.append(item)
            else:
                dropped[item.source_id] = dropped.get(item.source_id, 0) + 1
    return kept, dropped


def forget() -> None:
    """Start the tally of this process again."""
    with _lock:
        _tally.clear()


def _safe(text: str, most: int) -> str:
    """PostgreSQL takes no NUL and no lone surrogate; what is too long ends with an ellipsis."""
    text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= most else text[: most - 1] + "…"


def _clean(item: QuarantineItem) -> tuple[object, ...]:
    # A cut series key could be replayed as another series: such an item keeps its text only.
    whole = len(item.series) <= MAX_SERIES and "\0" not in item.series
    return (
        item.source_id,
        item.at,
        _safe(item.code, 40),
        _safe(item.detail, 500),
        _safe(item.series, MAX_SERIES) if whole else "",
        item.ts_us,
        item.value,
        None if item.text is None else _safe(item.text, MAX_TEXT),
        _safe(item.hint, 60),
        _safe(item.raw, MAX_RAW),
    )


def _digest(item: QuarantineItem) -> uuid.UUID:
    said = repr((item.series, item.ts_us, item.code, item.raw, item.text, item.value))
    return uuid.UUID(
        bytes=hashlib.blake2b(said.encode("utf-8", "replace"), digest_size=16).digest()
    )
