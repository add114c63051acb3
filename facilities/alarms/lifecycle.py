"""The engine's side of an alarm: raised, kept, cleared; in bulk, inside the engine's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import connection

from facilities.models import Alarm, AlarmEvent
from facilities.models.alarm import AlarmEventKind

from . import announce, groups, quiet
from .notify import escalation
from .samples import Sample
from .table import Pair


class Raise(NamedTuple):
    """An alarm to open; ``cleared_at`` when its excursion is over already."""

    pair: Pair
    sample: Sample
    peak: float
    cleared_at: datetime | None = None


class Clear(NamedTuple):
    """An alarm to close, at a reading time."""

    alarm_id: int
    ts: datetime


def alarms_raise(*, raises: Sequence[Raise], now: datetime) -> list[int]:
    """Open alarms; return their ids. The caller holds their points' locks and a transaction.

    Alarms of a pair on the shelf come back to the row they had. Then maintenance, chattering and
    topology decide which of them tell somebody. About fifteen queries, however many alarms.
    """
    if not raises:
        return []
    held = quiet.read_holds([r.pair for r in raises], now)
    back = quiet.returning(raises, held)
    fresh = [r for r in raises if (r.pair.point.id, r.pair.rule.id) not in back]
    made = Alarm.objects.bulk_create(
        Alarm(
            point_id=r.pair.point.id,
            rule_id=r.pair.rule.id,
            severity=r.pair.rule.severity,
            message=r.pair.rule.message,
            value=r.sample.value,
            quality=r.sample.quality,
            peak_value=r.peak,
            raised_at=r.sample.ts,
            recorded_at=now,
            cleared_at=r.cleared_at,
            shelved_until=held.shelved_until(r.pair),
            maintenance_id=held.window_of(r.pair),
        )
        for r in fresh
    )
    AlarmEvent.objects.bulk_create(
        event
        for alarm, r in zip(made, fresh, strict=True)
        for event in _history(alarm.pk, r, AlarmEventKind.RAISED)
    )
    _bring_back(raises, back)
    ids = [alarm.pk for alarm in made] + list(back.values())
    quiet.shelve_chattering(raises, held, now)
    announce.tell_on_commit(ids, AlarmEventKind.RAISED)
    moved = groups.regroup(now=now)
    told = announce.audible(ids, now)
    escalation.start(alarm_ids=[*told, *moved.released], now=now)
    announce.signal_on_commit([*told, *moved.released])
    return ids


def _history(alarm_id: int, r: Raise, event: AlarmEventKind) -> list[AlarmEvent]:
    lines = [AlarmEvent(alarm_id=alarm_id, at=r.sample.ts, event=event)]
    if r.cleared_at is not None:
        lines.append(AlarmEvent(alarm_id=alarm_id, at=r.cleared_at, event=AlarmEventKind.CLEARED))
    return lines


def _bring_back(raises: Sequence[Raise], back: dict[tuple[int, int], int]) -> None:
    """Open shelved alarms again: one row counts how often its condition came back."""
    for r in raises:
        alarm_id = back.get((r.pair.point.id, r.pair.rule.id))
        if alarm_id is None:
            continue
        alarm = Alarm.objects.get(pk=alarm_id)
        alarm.cleared_at = r.cleared_at
        alarm.occurrences += 1
        if r.pair.levels.is_worse(r.peak, alarm.peak_value):
            alarm.peak_value = r.peak
        alarm.save(update_fields=["cleared_at", "occurrences", "peak_value"])


def peaks_keep(*, peaks: Sequence[tuple[int, float]]) -> None:
    """Write worst values. One query."""
    if not peaks:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE facilities_alarm a SET peak_value = new.peak "
            "FROM unnest(%s::bigint[], %s::float8[]) AS new (id, peak) WHERE a.id = new.id",
            [[pk for pk, _ in peaks], [peak for _, peak in peaks]],
        )


def alarms_clear(*, clears: Sequence[Clear], note: str = "") -> int:
    """Close those that are still active; return how many. Three queries.

    Consequences of a cleared cause stay hidden for a while; ``groups.regroup`` releases them.
    """
    if not clears:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE facilities_alarm a SET cleared_at = greatest(new.ts, a.raised_at) "
            "FROM unnest(%s::bigint[], %s::timestamptz[]) AS new (id, ts) "
            "WHERE a.id = new.id AND a.cleared_at IS NULL RETURNING a.id, a.cleared_at",
            [[clear.alarm_id for clear in clears], [clear.ts for clear in clears]],
        )
        closed = cursor.fetchall()
    AlarmEvent.objects.bulk_create(
        AlarmEvent(alarm_id=pk, at=ts, event=AlarmEventKind.CLEARED, note=note) for pk, ts in closed
    )
    announce.tell_on_commit([pk for pk, _ in closed], AlarmEventKind.CLEARED)
    return len(closed)
