"""What people do with alarms: every change is a row, claimed once, told after the commit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction

from facilities.models import Alarm, AlarmEvent, AlarmPolicy, Shelf
from facilities.models.alarm import AlarmEventKind
from facilities.signals import alarm_acknowledged

from . import announce
from .lifecycle import Clear, alarms_clear
from .notify import escalation


class Acknowledgement(NamedTuple):
    """The alarm as it now is, and whether this call was the one that acknowledged it."""

    alarm: Alarm
    changed: bool


def alarm_clear(*, alarm_id: int, ts: datetime, note: str = "") -> bool:
    """Close an active alarm; False when another call did already."""
    with transaction.atomic():
        return alarms_clear(clears=[Clear(alarm_id, ts)], note=note) == 1


def alarm_acknowledge(*, alarm_id: int, user: AbstractBaseUser, note: str = "") -> Acknowledgement:
    """Acknowledge an alarm for ``user``; a second call changes nothing and returns the first's.

    Its escalation ends. The caller has checked ``facilities.acknowledge_alarm``. Raises
    ``Alarm.DoesNotExist``.
    """
    now = datetime.now(UTC)
    with transaction.atomic():
        hit = Alarm.objects.filter(pk=alarm_id, acknowledged_at__isnull=True).update(
            acknowledged_at=now, acknowledged_by=user.pk
        )
        if hit:
            _event(alarm_id, now, AlarmEventKind.ACKNOWLEDGED, user, note)
            escalation.stop(alarm_ids=[alarm_id], why=f"acknowledged by {user.get_username()}")
        alarm = _with_relations(alarm_id)
        if hit:
            announce_it = partial(
                alarm_acknowledged.send,
                sender=Alarm,
                alarm_id=alarm_id,
                tag=alarm.point.tag,
                actor=user.get_username(),
                note=note,
            )
            transaction.on_commit(announce_it, robust=True)
        return Acknowledgement(alarm, bool(hit))


def alarms_acknowledge(
    *, alarm_ids: list[int], user: AbstractBaseUser, note: str = ""
) -> list[Acknowledgement]:
    """Acknowledge several, a whole group for example; those that do not exist are left out."""
    done = []
    for alarm_id in Alarm.objects.filter(pk__in=alarm_ids).values_list("pk", flat=True):
        done.append(alarm_acknowledge(alarm_id=alarm_id, user=user, note=note))
    return done


@transaction.atomic
def alarm_assign(*, alarm_id: int, user: AbstractBaseUser, assignee: str | None) -> Alarm:
    """Give the alarm to somebody by user name, or (None) to nobody.

    Raises ``Alarm.DoesNotExist``, and ``ValidationError`` for a name that cannot have it.
    """
    person = None
    if assignee:
        person = get_user_model()._default_manager.filter(username=assignee).first()
        if person is None or not person.is_active:
            raise ValidationError({"assignee": f"there is no active user {assignee!r}"})
        if not person.has_perm("facilities.acknowledge_alarm"):
            raise ValidationError(
                {"assignee": f"{assignee} may not handle alarms; name an operator"}
            )
    alarm = Alarm.objects.select_for_update(of=("self",)).get(pk=alarm_id)
    if alarm.assignee_id != (person.pk if person else None):
        alarm.assignee_id = person.pk if person else None
        alarm.save(update_fields=["assignee"])
        note = f"to {assignee}" if person else "to nobody"
        _event(alarm_id, datetime.now(UTC), AlarmEventKind.ASSIGNED, user, note)
    return _with_relations(alarm_id)


@transaction.atomic
def alarm_note(*, alarm_id: int, user: AbstractBaseUser, text: str) -> Alarm:
    """Add a note to the alarm's history. Raises ``Alarm.DoesNotExist``."""
    alarm = _with_relations(alarm_id)
    _event(alarm_id, datetime.now(UTC), AlarmEventKind.NOTED, user, text)
    return alarm


@transaction.atomic
def alarm_shelve(*, alarm_id: int, user: AbstractBaseUser, seconds: float, reason: str) -> Alarm:
    """Put the alarm's point and rule on the shelf: recorded, but nobody is told, until then.

    Raises ``Alarm.DoesNotExist``, and ``ValidationError`` when it protects people or the time is
    longer than the policy allows.
    """
    alarm = _with_relations(alarm_id)
    most = AlarmPolicy.current().max_shelve_s
    if not 60 <= seconds <= most:
        raise ValidationError(
            {"minutes": f"{seconds / 60:g} min is not from 1 to {most / 60:g} min (alarm policy)"}
        )
    if alarm.safety:
        raise ValidationError(
            f"{alarm.rule.name} on {alarm.point.tag} protects people and is never shelved; "
            "a maintenance window that covers safety alarms holds it back during a test"
        )
    now = datetime.now(UTC)
    until = now + timedelta(seconds=seconds)
    Shelf.objects.update_or_create(
        point_id=alarm.point_id,
        rule_id=alarm.rule_id,
        defaults={
            "since": now,
            "until": until,
            "reason": reason,
            "automatic": False,
            "shelved_by_id": user.pk,
        },
    )
    Alarm.objects.filter(pk=alarm_id).update(shelved_until=until)
    escalation.stop(alarm_ids=[alarm_id], why=f"shelved by {user.get_username()}")
    _event(
        alarm_id,
        now,
        AlarmEventKind.SHELVED,
        user,
        f"until {until:%Y-%m-%d %H:%M} UTC: {reason}"[:500],
    )
    return _with_relations(alarm_id)


@transaction.atomic
def alarm_unshelve(*, alarm_id: int, user: AbstractBaseUser | None, note: str = "") -> Alarm:
    """Take it from the shelf; an alarm that is still active is told again.

    Raises ``Alarm.DoesNotExist``.
    """
    now = datetime.now(UTC)
    alarm = _with_relations(alarm_id)
    Shelf.objects.filter(point=alarm.point_id, rule=alarm.rule_id).delete()
    hit = Alarm.objects.filter(
        point=alarm.point_id, rule=alarm.rule_id, shelved_until__gt=now
    ).update(shelved_until=None)
    if hit:
        _event(alarm_id, now, AlarmEventKind.UNSHELVED, user, note)
        told = announce.audible([alarm_id], now)
        escalation.start(alarm_ids=told, now=now)
        announce.signal_on_commit(told)
    return _with_relations(alarm_id)


def _with_relations(alarm_id: int) -> Alarm:
    return announce.relations().get(pk=alarm_id)


def _event(
    alarm_id: int, at: datetime, event: AlarmEventKind, user: AbstractBaseUser | None, note: str
) -> None:
    AlarmEvent.objects.create(
        alarm_id=alarm_id, at=at, event=event, actor_id=user.pk if user else None, note=note
    )
    announce.tell_on_commit([alarm_id], event)
