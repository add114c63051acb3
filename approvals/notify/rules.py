"""Who wants to be told of what. Every change is in the audit trail."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from approvals.audit import audit_append
from approvals.errors import GateError, NotAllowedError, NotFoundError
from approvals.models import Channel, Delivery, NotificationRule
from approvals.notify.announce import RISKS, message_of
from approvals.notify.deliver import WAITING, deliver
from approvals.notify.events import EVENTS, TEST
from facilities.alarms.notify.targets import Refused, check_url

MANAGE: Final = "approvals.change_notificationrule"
"""Webhooks and what the whole team is told: supervisors."""

MOST_RULES: Final = 20


class InvalidRuleError(GateError):
    """A rule that could never be carried out (400)."""

    code = "invalid_rule"


def rules_of(user: AbstractUser) -> QuerySet[NotificationRule]:
    """The rules that this person may see and change: their own, and the team's for supervisors."""
    mine = Q(user_id=user.pk)
    if user.has_perm(MANAGE):
        mine |= Q(user__isnull=True)
    return NotificationRule.objects.filter(mine).select_related("user")


def deliveries_of(user: AbstractUser) -> QuerySet[Delivery]:
    """The messages of those rules, newest first."""
    return Delivery.objects.filter(rule__in=rules_of(user)).select_related("rule", "proposal")


def rule_add(
    *,
    user: AbstractUser,
    channel: str,
    events: list[str],
    least_risk: str = "low",
    address: str = "",
    secret_name: str = "",
    is_team: bool = False,
) -> NotificationRule:
    """Add a rule of one's own, or the team's. Webhooks are always the team's.

    Raises NotAllowedError (team or webhook without being a supervisor, an outside agent) or
    InvalidRuleError.
    """
    is_team = is_team or channel == Channel.WEBHOOK
    _may(user, is_team=is_team)
    rule = NotificationRule(
        user_id=None if is_team else user.pk,
        channel=channel,
        address=address.strip(),
        secret_name=secret_name.strip(),
        events=_known(events),
        least_risk=least_risk,
    )
    _check(rule)
    with transaction.atomic():
        if not is_team and rules_of(user).filter(user_id=user.pk).count() >= MOST_RULES:
            raise InvalidRuleError(
                f"{user.get_username()} has {MOST_RULES} rules already; change or remove one"
            )
        rule.save(force_insert=True)
        _audit("added", rule, user)
    return rule


def rule_change(*, rule_id: int, user: AbstractUser, **changes: Any) -> NotificationRule:
    """Change events, least_risk, address, secret_name or is_active of a rule that is visible to
    this person. Raises NotFoundError, NotAllowedError, InvalidRuleError.
    """
    with transaction.atomic():
        rule = _found(rule_id, user)
        for name, value in changes.items():
            setattr(rule, name, _known(value) if name == "events" else value)
        rule.address, rule.secret_name = rule.address.strip(), rule.secret_name.strip()
        _check(rule)
        rule.save()
        _audit("changed", rule, user)
    return rule


def rule_remove(*, rule_id: int, user: AbstractUser) -> None:
    """Remove a rule and its log. What is still waiting is not sent."""
    with transaction.atomic():
        rule = _found(rule_id, user)
        _audit("removed", rule, user)
        rule.delete()


def rule_test(*, rule_id: int, user: AbstractUser) -> Delivery:
    """Send a test message now, and return what came of it."""
    rule = _found(rule_id, user)
    text = f"{user.get_username()} tests this way. News of the gate would arrive like this."
    delivery = Delivery.objects.create(
        rule=rule,
        event=TEST,
        message=message_of(event=TEST, text=text, proposal=None),
        key=f"{TEST}:{uuid.uuid4()}",
        next_at=timezone.now(),
    )
    deliver(delivery_id=delivery.pk)
    delivery.refresh_from_db()
    return delivery


def delivery_resend(*, delivery_id: int, user: AbstractUser) -> Delivery:
    """Queue the same message again as a delivery of its own. Raises NotFoundError."""
    old = deliveries_of(user).filter(pk=delivery_id).first()
    if old is None:
        raise NotFoundError(f"there is no delivery {delivery_id} among yours")
    return Delivery.objects.create(
        rule=old.rule,
        proposal=old.proposal,
        event=old.event,
        message=old.message,
        key=f"again:{uuid.uuid4()}",
        state=WAITING,
        next_at=timezone.now(),
    )


def _found(rule_id: int, user: AbstractUser) -> NotificationRule:
    rule = rules_of(user).filter(pk=rule_id).first()
    if rule is None:
        raise NotFoundError(f"there is no notification rule {rule_id} among yours")
    _may(user, is_team=rule.user_id is None)
    return rule


def _may(user: AbstractUser, *, is_team: bool) -> None:
    name = user.get_username()
    if hasattr(user, "agent_access"):
        raise NotAllowedError(f"{name} is an agent; notification rules are people's")
    if is_team and not user.has_perm(MANAGE):
        raise NotAllowedError(
            f"{name} may not set webhooks or what the team is told (needs {MANAGE}); a "
            "supervisor may"
        )


def _known(events: Any) -> list[str]:
    unknown = [event for event in events if event not in EVENTS]
    if unknown:
        raise InvalidRuleError(f"there is no event {unknown[0]!r}; known are {', '.join(EVENTS)}")
    return [name for name in EVENTS if name in events]


def _check(rule: NotificationRule) -> None:
    if rule.channel not in Channel.values:
        raise InvalidRuleError(
            f"{rule.channel!r} is no way to tell people; known are {', '.join(Channel.values)}"
        )
    if rule.least_risk not in RISKS:
        raise InvalidRuleError(f"{rule.least_risk!r} is no risk; known are {', '.join(RISKS)}")
    if not rule.events:
        raise InvalidRuleError("the rule asks for no event; choose at least one")
    if rule.channel == Channel.BROWSER:
        rule.address = rule.secret_name = ""
    elif rule.channel == Channel.EMAIL:
        rule.secret_name = ""
        try:
            validate_email(rule.address)
        except ValidationError:
            raise InvalidRuleError(f"{rule.address!r} is not an e-mail address") from None
    else:
        _check_webhook(rule)


def _check_webhook(rule: NotificationRule) -> None:
    try:
        check_url(rule.address)
    except Refused as error:
        raise InvalidRuleError(f"webhook: {error}") from None
    if not rule.secret_name:
        raise InvalidRuleError(
            "a webhook needs the name of its signing secret, a key of OPS_DRIVER_SECRETS"
        )


def _audit(what: str, rule: NotificationRule, user: AbstractUser) -> None:
    audit_append(
        event=f"notification_rule.{what}",
        actor=user.get_username(),
        obj=f"notification_rule:{rule.pk}",
        payload={
            "for": rule.user.get_username() if rule.user else "the team",
            "channel": rule.channel,
            "address": rule.address,
            "secret_name": rule.secret_name,
            "events": rule.events,
            "least_risk": rule.least_risk,
            "is_active": rule.is_active,
        },
    )
