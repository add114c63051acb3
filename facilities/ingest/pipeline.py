"""From decoded requests to one group that is ready to be committed: convert, validate, flag."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection

from facilities.converters import convert, ready
from facilities.ingest.auth import Sender
from facilities.ingest.errors import IngestError
from facilities.ingest.points import PointColumns, point_table
from facilities.ingest.quarantine import QuarantineItem, quarantine_items
from facilities.ingest.samples import Batch, Flags, Floats, Ints, Rejected, Samples, Times
from facilities.ingest.validate import validate
from facilities.ingest.wire import Result
from facilities.models.reading import Quality
from facilities.quality.stream import StreamQuality

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Push:
    """One decoded request on its way to the disk. It ends with ``result`` or with ``error``.

    ``strict``: a value outside the point's range is refused, not stored with a flag.
    """

    sender: Sender
    samples: Samples
    received_us: int
    strict: bool
    format: str = "native"
    bytes: int = 0
    decode_s: float = 0.0
    converted: int = 0
    repeats: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    waiter: asyncio.Future[None] | None = None
    result: Result | None = None
    error: IngestError | None = None

    @property
    def size(self) -> int:
        """Samples that the request held, taken or not."""
        return len(self.samples.series) + len(self.samples.rejected)


@dataclass(slots=True, eq=False)
class Group:
    """What one commit stores: readings in the order of (point, time), without repeats.

    The arrays have one length. ``push`` is the place in ``pushes`` that a reading came from;
    ``repeats`` counts by source the readings that turned out to be stored already.
    """

    columns: PointColumns
    pushes: Sequence[Push]
    row: Ints
    ts_us: Times
    value: Floats
    flag: Flags
    push: Ints
    refusals: list[QuarantineItem]
    stale_row: Ints
    stale_ts_us: Times
    repeats: dict[int, int] = field(default_factory=dict)
    convert_s: float = 0.0
    store_s: float = 0.0
    committed_us: int = 0

    def __len__(self) -> int:
        return len(self.row)

    def last_of_each(self) -> npt.NDArray[np.intp]:
        """Positions of each point's newest reading."""
        return np.flatnonzero(np.append(self.row[1:] != self.row[:-1], len(self.row) > 0))

    def source_ids(self) -> npt.NDArray[np.int64]:
        """The source of every reading."""
        ids = np.fromiter((p.sender.source_id for p in self.pushes), np.int64, len(self.pushes))
        return ids[self.push]

    def received_us(self) -> Times:
        """When every reading arrived, microseconds since 1970 UTC."""
        times = np.fromiter((p.received_us for p in self.pushes), np.int64, len(self.pushes))
        return times[self.push]

    def points(self) -> npt.NDArray[np.int64]:
        """The point's id of every reading."""
        return self.columns.id[self.row]


_quality = StreamQuality()


def forget() -> None:
    """Begin with no memory of earlier values."""
    global _quality
    _quality = StreamQuality()


def prepare(pushes: Sequence[Push]) -> Group:
    """Convert, validate and flag these requests; the data list is as of now (one query).

    Must not run twice at the same time: converters and quality tests keep state. A request whose
    conversion fails ends with its ``error``; the others go on.
    """
    began = time.perf_counter()
    now_us = time.time_ns() // 1_000
    columns = ready([(push.sender, push.samples) for push in pushes], point_table(_version()))
    batches = [_converted(push, columns) for push in pushes]
    merged = Batch(
        np.concatenate([batch.row for batch in batches]),
        np.concatenate([batch.ts_us for batch in batches]),
        np.concatenate([batch.value for batch in batches]),
        np.concatenate([batch.index for batch in batches]),
    )
    sizes = [len(batch) for batch in batches]
    origin = np.repeat(np.arange(len(pushes), dtype=np.int32), sizes)
    strict = np.repeat(np.fromiter((p.strict for p in pushes), np.bool_, len(pushes)), sizes)
    verdict = validate(
        columns,
        merged,
        strict=strict,
        now_us=now_us,
        retention_us=settings.RETENTION_DAYS * 86_400_000_000,
    )
    for at in verdict.bad():
        code, detail = verdict.reason(int(at))
        pushes[origin[at]].rejected.append(Rejected(int(merged.index[at]), code, detail))
    stale = verdict.stale
    good = np.flatnonzero(verdict.good)
    kept = _ordered(merged, good)
    if len(kept) < len(good):
        repeats = np.bincount(origin[good], minlength=len(pushes))
        repeats -= np.bincount(origin[kept], minlength=len(pushes))
        for push, count in zip(pushes, repeats.tolist(), strict=True):
            push.repeats = count
    stored = merged.take(kept)
    group = Group(
        columns=columns,
        pushes=pushes,
        row=stored.row,
        ts_us=stored.ts_us,
        value=stored.value,
        flag=quality_flags(columns, stored, now_us),
        push=origin[kept],
        refusals=[item for push in pushes if push.rejected for item in _quarantined(push)],
        stale_row=merged.row[stale],
        stale_ts_us=merged.ts_us[stale],
    )
    group.convert_s = time.perf_counter() - began
    return group


def finish(group: Group) -> None:
    """Give every request of a committed group its result."""
    for push in group.pushes:
        if push.error is None:
            push.rejected.sort(key=_place)
            lost = len({item.index for item in push.rejected if item.index >= 0})
            push.result = Result(push.size, push.size - lost, push.rejected, push.samples)


def _quarantined(push: Push) -> list[QuarantineItem]:
    at = datetime.fromtimestamp(push.received_us / 1e6, UTC)
    return quarantine_items(push.sender.source_id, push.samples, push.rejected, at)


def _place(item: Rejected) -> int:
    return item.index


def _version() -> int | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT version FROM facilities_datalistversion WHERE id = 1")
        row = cursor.fetchone()
    return row[0] if row else None


_NOTHING: Final = Batch(
    np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.int32)
)


def _converted(push: Push, columns: PointColumns) -> Batch:
    push.rejected, push.repeats, push.converted = list(push.samples.rejected), 0, 0
    if not len(push.samples.series):
        return _NOTHING
    try:
        batch = convert(push.sender, push.samples, columns)
    except DatabaseError:
        raise
    except Exception:
        logger.exception("source %s: its converter failed; the request is refused", push.sender)
        push.rejected = []
        push.error = IngestError(
            500,
            "converter_failed",
            f"the converter of source {push.sender.name} failed on this request; nothing of it is "
            "stored, the server's log has the reason",
        )
        return _NOTHING
    push.rejected = batch.rejected
    push.converted = len(batch)
    return batch


def _ordered(batch: Batch, kept: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """These positions in the order of (row, time); of equal ones only the first."""
    row, ts_us = batch.row[kept], batch.ts_us[kept]
    order = np.lexsort((ts_us, row))
    row, ts_us = row[order], ts_us[order]
    repeated = (row[1:] == row[:-1]) & (ts_us[1:] == ts_us[:-1])
    kept = kept[order]
    return kept[np.append(True, ~repeated)[: len(kept)]] if repeated.any() else kept


def quality_flags(columns: PointColumns, stored: Batch, now_us: int) -> Flags:
    """QARTOD flag of every reading of a batch, by the streaming tests of this process."""
    if not len(stored):
        return np.empty(0, np.uint8)
    try:
        return _quality.check(columns, stored, now_us)
    except DatabaseError:
        raise
    except Exception:
        # The readings count more than their flags; unknown says that nobody has looked.
        logger.exception("quality tests failed; %d readings are stored as unknown", len(stored))
        return np.full(len(stored), Quality.UNKNOWN, np.uint8)
