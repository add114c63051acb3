"""Who may sign, by name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.db.models import Q

from approvals.policy.requirement import ROLE_ORDER, Requirement, role_of


class Signer(NamedTuple):
    """Somebody whose signature would count. `high_risk`: may be the one that high risk needs."""

    pk: int
    username: str
    role: str
    high_risk: bool = False


def may_sign(user: Any, requirement: Requirement) -> str:
    """Why this person's signature would not count, as a sentence; '' when it would.

    Says nothing about who asked for or edited the proposal: that is the proposal's matter.
    """
    name, role = user.get_username(), role_of(user)
    if not user.is_active:
        return f"{name}'s account is not active"
    if not user.has_perm("approvals.decide_proposal"):
        return f"{name} may not decide on proposals (needs approvals.decide_proposal)"
    if role == "" or ROLE_ORDER.index(role) < ROLE_ORDER.index(requirement.least_role):
        return (
            f"{name} is {role or 'without a role'}; the policy asks for {requirement.least_role} "
            "or above"
        )
    return ""


def deciders() -> list[Signer]:
    """Every active person who may decide on proposals, by name (four queries)."""
    people = able_to("decide_proposal")
    able = {one.pk for one in able_to("decide_high_risk")}
    return [one._replace(high_risk=one.pk in able) for one in people if one.role in ROLE_ORDER[1:]]


def signers(
    *,
    requirement: Requirement,
    without: Collection[int] = (),
    people: Sequence[Signer] | None = None,
) -> list[Signer]:
    """Those whose signature would count, but not `without` (who asked, who edited)."""
    least = ROLE_ORDER.index(requirement.least_role)
    return [
        one
        for one in (deciders() if people is None else people)
        if ROLE_ORDER.index(one.role) >= least and one.pk not in without
    ]


def too_few(requirement: Requirement, able: Sequence[Signer], risk: str = "") -> str:
    """Why these people could not sign it together; '' when they could."""
    roles = {one.role for one in able}
    if len(able) < requirement.signatures:
        return f"needs {requirement.signatures} people, {len(able)} could sign"
    if len(roles) < requirement.distinct_roles:
        has = ", ".join(sorted(roles)) or "none"
        return f"needs {requirement.distinct_roles} different roles, there is {has}"
    if risk == "high" and not any(one.high_risk for one in able):
        return "needs one person who may sign high risk (approvals.decide_high_risk)"
    return ""


def policy_makers() -> list[Signer]:
    """Every active person who may change the policy, by name (two queries)."""
    return able_to("change_policy")


def able_to(codename: str) -> list[Signer]:
    """Every active person with this permission of the gate, by name (two queries)."""
    own = Q(user_permissions__codename=codename)
    able = Q(is_superuser=True) | Q(groups__permissions__codename=codename) | own
    people = get_user_model()._default_manager.filter(able, is_active=True).distinct()
    return [
        Signer(user.pk, user.get_username(), role_of(user))
        for user in people.order_by("username").prefetch_related("groups")
    ]
