"""The engine's side of an alarm: raised, kept, cleared; in bulk, inside the engine's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from django.db import connection

from facilities.models import Alarm
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
    made = _insert(fresh, held, now)
    _write_events(line for pk, r in zip(made, fresh, strict=True) for line in _history(pk, r))
    _bring_back(raises, back)
    ids = made + list(back.values())
    quiet.shelve_chattering(raises, held, now)
    announce.tell_on_commit(ids, AlarmEventKind.RAISED)
    moved = groups.regroup(now=now)
    told = announce.audible(ids, now)
    escalation.start(alarm_ids=[*told, *moved.released], now=now)
    announce.signal_on_commit([*told, *moved.released])
    return ids


# Through the model layer a storm of ten thousand alarms takes seconds.
_INSERT_ALARMS: Final = """
INSERT INTO facilities_alarm (point_id, rule_id, severity, message, value, quality, peak_value,
    raised_at, cleared_at, shelved_until, maintenance_id, recorded_at, suppressed, occurrences)
SELECT point_id, rule_id, severity, message, value, quality, peak_value,
    raised_at, cleared_at, shelved_until, maintenance_id, %s, false, 1
FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::float8[], %s::smallint[],
    %s::float8[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::bigint[])
    WITH ORDINALITY AS new (point_id, rule_id, severity, message, value, quality, peak_value,
        raised_at, cleared_at, shelved_until, maintenance_id, place)
ORDER BY place RETURNING id
"""
_INSERT_EVENTS: Final = """
INSERT INTO facilities_alarmevent (alarm_id, at, event, note)
SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::text[])
"""


def _insert(fresh: Sequence[Raise], held: quiet.Holds, now: datetime) -> list[int]:
    """Write the rows; return their ids in the same order. One query."""
    if not fresh:
        return []
    rows = [
        (
            r.pair.point.id,
            r.pair.rule.id,
            r.pair.rule.severity,
            r.pair.rule.message,
            r.sample.value,
            r.sample.quality,
            r.peak,
            r.sample.ts,
            r.cleared_at,
            held.shelved_until(r.pair),
            held.window_of(r.pair),
        )
        for r in fresh
    ]
    with connection.cursor() as cursor:
        cursor.execute(_INSERT_ALARMS, [now, *(list(column) for column in zip(*rows, strict=True))])
        return [row[0] for row in cursor.fetchall()]


def _write_events(lines: Iterable[tuple[int, datetime, str, str]]) -> None:
    """Write history lines (alarm, time, event, note) of the engine. One query."""
    columns = [list(column) for column in zip(*lines, strict=True)]
    if columns:
        with connection.cursor() as cursor:
            cursor.execute(_INSERT_EVENTS, columns)


def _history(alarm_id: int, r: Raise) -> list[tuple[int, datetime, str, str]]:
    lines = [(alarm_id, r.sample.ts, AlarmEventKind.RAISED.value, "")]
    if r.cleared_at is not None:
        lines.append((alarm_id, r.cleared_at, AlarmEventKind.CLEARED.value, ""))
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
    _write_events((pk, ts, AlarmEventKind.CLEARED.value, note) for pk, ts in closed)
    announce.tell_on_commit([pk for pk, _ in closed], AlarmEventKind.CLEARED)
    return len(closed)
