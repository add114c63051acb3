"""The quarantine's second chance: replay after the converter is fixed, discard, bounds."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

import numpy as np
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from facilities.converters import convert, ready
from facilities.ingest.internal import InternalReading, make_partitions, store_internal
from facilities.ingest.pipeline import quality_flags
from facilities.ingest.points import PointColumns, point_table
from facilities.ingest.quarantine import drops_add
from facilities.ingest.samples import Batch, Samples
from facilities.ingest.validate import validate
from facilities.models import QuarantinedItem, QuarantineState, Source

logger = logging.getLogger(__name__)

CHUNK: Final = 1_000
"""Items per transaction of a replay."""

MAX_PER_SOURCE: Final = 100_000
MAX_AGE: Final = timedelta(days=30)
"""Bounds of the quarantine: about 60 MB a source; assumed, long enough to notice on Monday."""

DECIDED_AGE: Final = timedelta(days=7)
"""How long replayed and discarded items can still be looked at; assumed."""


class ReplayResult(NamedTuple):
    """Counts of a replay. ``reasons``: why the rest still waits, by code."""

    tried: int
    stored: int
    repeated: int
    waiting: int
    reasons: dict[str, int]


class _Sender(NamedTuple):
    source_id: int
    auto_register: bool


def quarantine_found(
    *,
    source: str = "",
    code: str = "",
    state: str = "",
    search: str = "",
    since: object = None,
    until: object = None,
) -> QuerySet[QuarantinedItem]:
    """Items by the filters of page, API and replay; every word of ``search`` must occur."""
    found = QuarantinedItem.objects.select_related("source")
    if source:
        found = found.filter(source__name=source)
    if code:
        found = found.filter(code=code)
    if state:
        found = found.filter(state=state)
    if since is not None:
        found = found.filter(at__gte=since)
    if until is not None:
        found = found.filter(at__lt=until)
    for word in search.split()[:8]:
        found = found.filter(
            Q(series__icontains=word) | Q(raw__icontains=word) | Q(detail__icontains=word)
        )
    return found


def quarantine_replay(*, items: QuerySet[QuarantinedItem], most: int = 50_000) -> ReplayResult:
    """Try waiting items again, oldest first; each is stored exactly once.

    Every chunk is one transaction: its rows are locked, converted, stored and marked. A crash or a
    second replay at the same moment can neither lose nor repeat one. An item whose reading exists
    already is marked as replayed too (``repeated``). What still fails waits on, with its new reason.
    """
    total: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    after = 0
    while total["tried"] < most:
        last, counts, why = _replay_chunk(items, after, min(CHUNK, most - total["tried"]))
        if last is None:
            break
        after = last
        total.update(counts)
        reasons.update(why)
    return ReplayResult(
        total["tried"], total["stored"], total["repeated"], total["waiting"], dict(reasons)
    )


def _replay_chunk(
    items: QuerySet[QuarantinedItem], after: int, size: int
) -> tuple[int | None, Counter[str], Counter[str]]:
    # Registration and partitions come first, in transactions of their own.
    candidates = list(_waiting(items, after)[:size])
    if not candidates:
        return None, Counter(), Counter()
    columns = _columns_for(candidates)
    with transaction.atomic():
        locked = list(
            QuarantinedItem.objects.select_for_update(of=("self",), skip_locked=True)
            .filter(pk__in=[item.pk for item in candidates], state=QuarantineState.WAITING)
            .select_related("source")
            .order_by("pk")
        )
        counts, why = _replay_locked(locked, columns)
    return candidates[-1].pk, counts, why


def _waiting(items: QuerySet[QuarantinedItem], after: int) -> QuerySet[QuarantinedItem]:
    return (
        items.filter(state=QuarantineState.WAITING, pk__gt=after)
        .exclude(series="")
        .filter(ts_us__isnull=False)
        .order_by("pk")
    )


def _columns_for(items: Sequence[QuarantinedItem]) -> PointColumns:
    columns = point_table(None)
    requests = [
        (_Sender(source.pk, source.auto_register), _samples(of_source))
        for source, of_source in _by_source(items)
    ]
    columns = ready(requests, columns)
    readings = []
    now_s = time.time()
    for item in items:
        ts_us = item.ts_us or 0
        if now_s - settings.RETENTION_DAYS * 86_400 <= ts_us / 1e6 <= now_s + 300:
            readings.append(InternalReading(0, ts_us, 0.0, 0))
    make_partitions(readings)
    return columns


def _by_source(
    items: Sequence[QuarantinedItem],
) -> Iterable[tuple[Source, list[QuarantinedItem]]]:
    groups: dict[int, list[QuarantinedItem]] = {}
    for item in items:
        groups.setdefault(item.source_id, []).append(item)
    return [(group[0].source, group) for group in groups.values()]


def _samples(items: Sequence[QuarantinedItem]) -> Samples:
    names: dict[str, int] = {}
    series = np.array([names.setdefault(item.series, len(names)) for item in items], np.int32)
    value = [np.nan if item.value is None else item.value for item in items]
    return Samples(
        names=list(names),
        series=series,
        ts_us=np.array([item.ts_us for item in items], np.int64),
        value=np.array(value, np.float64),
        index=np.arange(len(items), dtype=np.int32),
        hints={item.series: item.hint for item in items if item.hint},
        text={at: item.text for at, item in enumerate(items) if item.text is not None},
    )


def _replay_locked(
    items: list[QuarantinedItem], columns: PointColumns
) -> tuple[Counter[str], Counter[str]]:
    counts: Counter[str] = Counter(tried=len(items))
    reasons: Counter[str] = Counter()
    now = timezone.now()
    for source, group in _by_source(items):
        sender = _Sender(source.pk, False)
        batch = convert(sender, _samples(group), columns)
        problems = {r.index: (r.code, r.detail) for r in batch.rejected}
        good = _valid(columns, batch, problems)
        # Older than what the point shows by now: the tests judge the value alone.
        flags = quality_flags(columns, good, time.time_ns() // 1_000)
        readings = [
            InternalReading(
                int(columns.id[good.row[at]]),
                int(good.ts_us[at]),
                float(good.value[at]),
                int(flags[at]),
            )
            for at in range(len(good))
        ]
        stored = store_internal(readings, source_id=source.pk)
        taken = set(good.index.tolist())
        counts["stored"] += stored
        for at, item in enumerate(group):
            item.attempts = min(item.attempts + 1, 32_767)
            if at in taken or at not in problems:  # stored, dropped by rule, or a first count
                item.state, item.decided_at = QuarantineState.REPLAYED, now
                counts["repeated"] += at in taken
            else:
                item.code, item.detail = problems[at][0][:40], problems[at][1][:500]
                counts["waiting"] += 1
                reasons[item.code] += 1
        counts["repeated"] -= stored
    QuarantinedItem.objects.bulk_update(
        items, ["state", "decided_at", "attempts", "code", "detail"], batch_size=500
    )
    return counts, reasons


def _valid(columns: PointColumns, batch: Batch, problems: dict[int, tuple[str, str]]) -> Batch:
    """What passes validation; out of range stays in quarantine. Adds the problems of the rest."""
    if not len(batch):
        return batch
    verdict = validate(
        columns,
        batch,
        strict=np.ones(len(batch), np.bool_),
        now_us=time.time_ns() // 1_000,
        retention_us=settings.RETENTION_DAYS * 86_400_000_000,
    )
    for at in verdict.bad():
        problems[int(batch.index[at])] = verdict.reason(int(at))
    return batch.take(verdict.good)


def quarantine_discard(*, items: QuerySet[QuarantinedItem]) -> int:
    """Mark waiting items as not wanted; they leave a week later. Returns how many."""
    return items.filter(state=QuarantineState.WAITING).update(
        state=QuarantineState.DISCARDED, decided_at=timezone.now()
    )


def quarantine_prune(
    *, most: int = MAX_PER_SOURCE, age: timedelta = MAX_AGE, decided_age: timedelta = DECIDED_AGE
) -> int:
    """Apply the bounds; return how many waiting items were dropped (each is counted).

    Decided items leave after ``decided_age`` without being counted: nothing is lost with them.
    """
    now = timezone.now()
    QuarantinedItem.objects.exclude(state=QuarantineState.WAITING).filter(
        decided_at__lt=now - decided_age
    ).delete()
    dropped = 0
    with transaction.atomic(), connection.cursor() as cursor:
        for source_id in Source.objects.order_by("pk").values_list("pk", flat=True):
            waiting = QuarantinedItem.objects.filter(
                source_id=source_id, state=QuarantineState.WAITING
            )
            for reason, rows in (
                ("age", waiting.filter(at__lt=now - age)),
                ("count", _beyond(waiting, most)),
            ):
                # _raw_delete: no signals and no relations here, so one statement.
                count = rows._raw_delete(rows.db) if rows is not None else 0
                if count:
                    drops_add(cursor, source_id, reason, count)
                    dropped += count
    if dropped:
        logger.warning("the quarantine's bounds dropped %d items", dropped)
    return dropped


def _beyond(waiting: QuerySet[QuarantinedItem], most: int) -> QuerySet[QuarantinedItem] | None:
    """The oldest items above the bound, or None."""
    edge = waiting.order_by("-at", "-id").values_list("at", "pk")[most : most + 1].first()
    if edge is None:
        return None
    at, pk = edge
    return waiting.filter(Q(at__lt=at) | Q(at=at, pk__lte=pk))
