"""Tokens of outside agents: issue, recognise, count, revoke. Every use is in the audit trail."""

from __future__ import annotations

import hashlib
import logging
import secrets
from datetime import timedelta
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser, Permission
from django.core.cache import cache
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from approvals.audit import SYSTEM, audit_append
from approvals.canonical import iso_utc
from approvals.errors import GateError, NotAllowedError
from approvals.models import AgentAccess, Proposal

log = logging.getLogger(__name__)

PREFIX = "hpa_"
# Where the door leaves the access in an ASGI scope.
AGENT = "holdpoint.agent"
# What an agent's account must never hold: it asks, people decide.
DECIDES = ("approvals.decide_proposal", "approvals.decide_high_risk")


class Issued(NamedTuple):
    """A new access and its token, which is shown once and stored as a hash."""

    access: AgentAccess
    token: str


class QuotaError(GateError):
    """The agent asked for more than its share."""

    status = 429
    code = "quota"


def agent_issue(
    *,
    name: str,
    created_by: AbstractUser | None = None,
    days: int | None = 90,
    calls_per_minute: int = 60,
    proposals_per_hour: int = 6,
) -> Issued:
    """Create an agent's account and token; a known name gets a new token, the old one ends."""
    token = PREFIX + secrets.token_urlsafe(32)
    expires_at = timezone.now() + timedelta(days=days) if days else None
    facts: dict[str, Any] = {
        "token_hash": _hash(token),
        "token_prefix": token[:12],
        "calls_per_minute": calls_per_minute,
        "proposals_per_hour": proposals_per_hour,
        "expires_at": expires_at,
        "revoked_at": None,
        "created_by": created_by,
    }
    with transaction.atomic():
        access = AgentAccess.objects.filter(name=name).first() or AgentAccess(
            name=name, account=_account(name)
        )
        for field, value in facts.items():
            setattr(access, field, value)
        access.save()
        audit_append(
            event="agent.issued",
            actor=created_by.get_username() if created_by else SYSTEM,
            obj=f"agent:{name}",
            payload={
                "expires_at": iso_utc(expires_at) if expires_at else None,
                "calls_per_minute": calls_per_minute,
                "proposals_per_hour": proposals_per_hour,
            },
        )
    return Issued(access, token)


def agent_revoke(*, access: AgentAccess, user: AbstractUser | None = None) -> None:
    """End a token at once; the account and what it proposed stay."""
    with transaction.atomic():
        AgentAccess.objects.filter(pk=access.pk).update(revoked_at=timezone.now())
        audit_append(
            event="agent.revoked",
            actor=user.get_username() if user else SYSTEM,
            obj=f"agent:{access.name}",
        )


def agent_of(token: str) -> AgentAccess | None:
    """Whose token this is; None when it is unknown, expired, revoked or its account is closed.

    An account that was given the right to decide is refused as well: an agent never signs.
    """
    if not token.startswith(PREFIX):
        return None
    access = (
        AgentAccess.objects.select_related("account")
        .filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))
        .filter(token_hash=_hash(token), revoked_at=None, account__is_active=True)
        .first()
    )
    if access is None:
        return None
    if access.account.is_superuser or any(access.account.has_perm(name) for name in DECIDES):
        log.error("agent %s may decide on proposals; it is shut out", access.name)
        return None
    return access


def agent_uses(*, access: AgentAccess, what: str, facts: dict[str, Any]) -> None:
    """Count one call and record it. Raises QuotaError above the agent's calls per minute."""
    now = timezone.now()
    key = f"agent-calls:{access.pk}:{int(now.timestamp()) // 60}"
    cache.add(key, 0, timeout=120)
    calls = cache.incr(key)
    if calls > access.calls_per_minute:
        if calls == access.calls_per_minute + 1:
            audit_append(
                event="agent.quota", actor=access.account.get_username(), obj=f"agent:{access.name}"
            )
        raise QuotaError(
            f"agent {access.name} made {calls} calls this minute; its share is "
            f"{access.calls_per_minute}; wait {60 - now.second} s"
        )
    AgentAccess.objects.filter(pk=access.pk).update(last_used_at=now)
    audit_append(
        event="agent.call",
        actor=access.account.get_username(),
        obj=f"agent:{access.name}",
        payload={"what": what, **facts},
    )


def agent_may_propose(*, access: AgentAccess) -> None:
    """Raise QuotaError when the agent made its share of proposals in the last hour."""
    since = timezone.now() - timedelta(hours=1)
    made = Proposal.objects.filter(
        requested_by=access.account, created_at__gt=since, edited_by=None
    ).count()
    if made >= access.proposals_per_hour:
        raise QuotaError(
            f"agent {access.name} made {made} proposals in the last hour; its share is "
            f"{access.proposals_per_hour}: people have to read each of them"
        )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _account(name: str) -> Any:
    """The service account: no password, no group, one permission."""
    users = get_user_model()
    username = f"agent-{name}"
    if users.objects.filter(username=username).exists():
        raise NotAllowedError(
            f"an account {username} exists already and belongs to no agent; choose another name"
        )
    account = users.objects.create_user(username)
    account.user_permissions.add(
        Permission.objects.get(content_type__app_label="approvals", codename="add_proposal")
    )
    return account
