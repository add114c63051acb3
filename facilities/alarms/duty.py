"""What happens to alarms by the clock: shelves run out, windows end, causes clear, steps are due."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from django.db import transaction

from facilities.models import Alarm, AlarmEvent, Shelf
from facilities.models.alarm import AlarmEventKind

from . import announce, groups
from .notify import escalation


class Tick(NamedTuple):
    """What one look at the clock did."""

    unshelved: int = 0
    released: int = 0
    messages: int = 0


def tick(*, now: datetime | None = None) -> Tick:
    """Do what is due. Safe to run many times at once; about seven queries when nothing is due."""
    now = now or datetime.now(UTC)
    unshelved = _unshelve(now)
    with transaction.atomic():
        moved = groups.regroup(now=now)
        told = announce.audible([*moved.released, *unshelved], now)
        announce.signal_on_commit(told)
        escalation.start_missing(now=now)
    messages = escalation.take_due_steps(now=now)
    return Tick(len(unshelved), len(moved.released), messages)


@transaction.atomic
def _unshelve(now: datetime) -> list[int]:
    """Take from the shelf what has lain there long enough."""
    Shelf.objects.filter(until__lte=now).delete()
    ids = list(
        Alarm.objects.select_for_update(skip_locked=True)
        .filter(shelved_until__lte=now)
        .values_list("pk", flat=True)
    )
    if not ids:
        return []
    Alarm.objects.filter(pk__in=ids).update(shelved_until=None)
    AlarmEvent.objects.bulk_create(
        AlarmEvent(alarm_id=pk, at=now, event=AlarmEventKind.UNSHELVED, note="the time is over")
        for pk in ids
    )
    announce.tell_on_commit(ids, AlarmEventKind.UNSHELVED)
    return ids
