"""Raise, clear and acknowledge: every change is a row, claimed once, told after the commit."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from facilities import live
from facilities.models import Alarm, AlarmEvent, AlarmRule
from facilities.models.alarm import AlarmEventKind
from facilities.models.point import Point
from facilities.signals import alarm_acknowledged, alarm_raised

from .payload import alarm_payload


class Acknowledgement(NamedTuple):
    """The alarm as it now is, and whether this call was the one that acknowledged it."""

    alarm: Alarm
    changed: bool


def alarm_raise(*, point: Point, rule: AlarmRule, value: float, ts: datetime) -> Alarm:
    """Open an alarm. The caller holds the point's evaluation lock and a transaction."""
    alarm = Alarm.objects.create(
        point=point,
        rule=rule,
        severity=rule.severity,
        message=rule.message or rule.name,
        value=value,
        peak_value=value,
        raised_at=ts,
    )
    AlarmEvent.objects.create(alarm=alarm, at=ts, event=AlarmEventKind.RAISED)
    _tell(alarm.pk, AlarmEventKind.RAISED)
    transaction.on_commit(
        partial(alarm_raised.send_robust, sender=Alarm, alarm_id=alarm.pk), robust=True
    )
    return alarm


def alarm_clear(*, alarm_id: int, ts: datetime, note: str = "") -> bool:
    """Close an active alarm; False when another call did already."""
    with transaction.atomic():
        hit = Alarm.objects.filter(pk=alarm_id, cleared_at__isnull=True).update(cleared_at=ts)
        if hit != 1:
            return False
        AlarmEvent.objects.create(alarm_id=alarm_id, at=ts, event=AlarmEventKind.CLEARED, note=note)
        _tell(alarm_id, AlarmEventKind.CLEARED)
    return True


def alarm_acknowledge(*, alarm_id: int, user: AbstractBaseUser, note: str = "") -> Acknowledgement:
    """Acknowledge an alarm for ``user``; a second call changes nothing and returns the first's.

    The caller has checked ``facilities.acknowledge_alarm``. Raises ``Alarm.DoesNotExist``.
    """
    now = datetime.now(UTC)
    with transaction.atomic():
        hit = Alarm.objects.filter(pk=alarm_id, acknowledged_at__isnull=True).update(
            acknowledged_at=now, acknowledged_by=user.pk
        )
        if hit:
            AlarmEvent.objects.create(
                alarm_id=alarm_id,
                at=now,
                event=AlarmEventKind.ACKNOWLEDGED,
                actor_id=user.pk,
                note=note,
            )
            _tell(alarm_id, AlarmEventKind.ACKNOWLEDGED)
        alarm = _with_relations(alarm_id)
        if hit:
            announce = partial(
                alarm_acknowledged.send,
                sender=Alarm,
                alarm_id=alarm_id,
                tag=alarm.point.tag,
                actor=user.get_username(),
                note=note,
            )
            transaction.on_commit(announce, robust=True)
        return Acknowledgement(alarm, bool(hit))


def _with_relations(alarm_id: int) -> Alarm:
    return Alarm.objects.select_related("point__asset", "rule", "acknowledged_by").get(pk=alarm_id)


def _tell(alarm_id: int, event: str) -> None:
    transaction.on_commit(partial(_push, alarm_id, str(event)), robust=True)


def _push(alarm_id: int, event: str) -> None:
    alarm = Alarm.objects.filter(pk=alarm_id).exists() and _with_relations(alarm_id)
    if alarm:
        live.push("alarms", {"type": "alarm", "event": event, "alarm": alarm_payload(alarm)})
