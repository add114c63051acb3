"""Whose signatures a proposal has, whose are missing, and whether they still count.

A signature counts in the round and for the digest it was given for. What is asked for is the
stricter of the requirement that was signed with the payload and the policy of now.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser
from django.utils import timezone

from approvals.models import Decision, Proposal, Risk, Verdict
from approvals.policy.evaluate import requirement_for, subject_of_proposal
from approvals.policy.requirement import ROLE_ORDER, Requirement, role_of, stricter

DECIDE = "approvals.decide_proposal"
DECIDE_HIGH_RISK = "approvals.decide_high_risk"
BREAK_GLASS = "approvals.break_glass"


class Missing(NamedTuple):
    """What is still missing: people, different roles, and the roles that the next signer may have
    (none when nothing is missing).
    """

    people: int
    roles: int
    next_roles: tuple[str, ...]


def approvals_of(proposal: Proposal) -> list[Decision]:
    """The approvals of this round for this digest, in order. No query when `decisions` are
    prefetched.
    """
    return [
        decision
        for decision in sorted(proposal.decisions.all(), key=lambda d: d.pk)
        if decision.verdict == Verdict.APPROVE
        and decision.round == proposal.round
        and decision.digest == proposal.digest
    ]


def requirement_now(proposal: Proposal, *, at: datetime | None = None) -> Requirement:
    """The stricter of what was stored with the proposal and what the policy asks for now."""
    present = requirement_for(subject=subject_of_proposal(proposal), at=at or timezone.now())
    return stricter(Requirement.from_dict(proposal.requirement), present)


def missing_of(requirement: Requirement, signed_roles: Sequence[str]) -> Missing:
    """What `requirement` still asks for after signatures with these roles."""
    has = set(signed_roles)
    people = max(0, requirement.signatures - len(signed_roles))
    roles = max(0, requirement.distinct_roles - len(has))
    if not (people or roles):
        return Missing(0, 0, ())
    able = ROLE_ORDER[ROLE_ORDER.index(requirement.least_role) :]
    # With as many roles as people missing, somebody of a role that has signed adds nothing.
    only_others = roles >= max(people, 1)
    return Missing(
        max(people, roles), roles, tuple(r for r in able if not only_others or r not in has)
    )


def still_missing(missing: Missing) -> str:
    """`one more signature, by an operator or a supervisor`."""
    number = "one more signature" if missing.people == 1 else f"{missing.people} more signatures"
    return f"{number}, by {' or '.join(_one(role) for role in missing.next_roles)}"


def _one(role: str) -> str:
    return f"an {role}" if role[0] in "ao" else f"a {role}"


def signatures_of(proposal: Proposal, requirement: Requirement | None = None) -> dict[str, Any]:
    """The signatures as JSON shows them: have, need, roles_missing, signed_by.

    Against the stored requirement unless another is given. No query when `decisions__user` are
    prefetched.
    """
    asked = requirement or Requirement.from_dict(proposal.requirement)
    given = approvals_of(proposal)
    missing = missing_of(asked, [d.role for d in given])
    alone = any(d.is_break_glass for d in given)
    return {
        "have": len(given),
        "need": max(asked.signatures, asked.distinct_roles, 1),
        "roles_missing": [] if alone else list(missing.next_roles),
        "signed_by": [
            {
                "user": d.user.get_username(),
                "role": d.role,
                "at": d.at,
                "reason": d.reason,
                "reauthenticated": d.reauthenticated,
                "is_break_glass": d.is_break_glass,
            }
            for d in given
        ],
    }


def rank_of(role: str) -> int:
    """Place of a role in ascending order; -1 for none."""
    return ROLE_ORDER.index(role) if role in ROLE_ORDER else -1


class Objection(NamedTuple):
    """Why a person's signature would be refused: a code of the API and the sentence."""

    code: str
    detail: str


def objection_to(
    proposal: Proposal, user: AbstractUser, requirement: Requirement, *, alone: bool = False
) -> Objection | None:
    """Why this person may not sign this proposal, whatever its state; None: they may.

    `alone`: as an emergency (break-glass), which waives missing signatures and roles but never that
    somebody else has asked.
    """
    name = user.get_username()
    if not user.is_active or not user.has_perm(DECIDE):
        return Objection(
            "not_allowed", f"{name} may not decide on proposals (needs approvals.decide_proposal)"
        )
    if proposal.requested_by_id == user.pk:
        return Objection(
            "own_proposal",
            f"{name} asked for proposal {proposal.pk}; somebody else has to sign it",
        )
    # The payload's own word counts here: the database holds it against the editor as well.
    own_edit = proposal.edited_by_id == user.pk
    if own_edit and not (
        requirement.editor_may_sign and Requirement.from_dict(proposal.requirement).editor_may_sign
    ):
        return Objection(
            "own_edit",
            f"{name} changed the parameters of proposal {proposal.pk}; somebody else has to sign it",
        )
    given = approvals_of(proposal)
    if any(d.user_id == user.pk for d in given):
        return Objection("already_signed", f"{name} has signed proposal {proposal.pk} already")
    if alone:
        if not user.has_perm(BREAK_GLASS):
            return Objection(
                "not_allowed", f"{name} may not sign alone (needs approvals.break_glass)"
            )
        return None
    role = role_of(user)
    if rank_of(role) < rank_of(requirement.least_role):
        return Objection(
            "not_allowed",
            f"proposal {proposal.pk} is signed by {_one(requirement.least_role)} or above; {name} is "
            f"{_one(role) if role else 'without a role'}",
        )
    missing = missing_of(requirement, [d.role for d in given])
    if missing.next_roles and role not in missing.next_roles:
        return Objection(
            "another_role",
            f"{_one(role)} has signed proposal {proposal.pk}; the missing signature has to come from "
            f"{' or '.join(_one(other) for other in missing.next_roles)}",
        )
    if (
        proposal.risk == Risk.HIGH
        and missing.people == 1
        and not any(person.has_perm(DECIDE_HIGH_RISK) for person in (user, *_people(given)))
    ):
        return Objection(
            "high_risk",
            f"proposal {proposal.pk} is high risk: one of its signers needs "
            f"approvals.decide_high_risk, and {name} does not have it",
        )
    return None


def why_not_approve(proposal: Proposal, user: AbstractUser) -> str:
    """Why this person's signature would be refused, '' when it would not.

    Against the stored requirement: no query but permissions and groups for a row of
    `selectors.proposals()`.
    """
    found = objection_to(proposal, user, Requirement.from_dict(proposal.requirement))
    return found.detail if found else ""


def _people(decisions: Iterable[Decision]) -> list[AbstractUser]:
    return [decision.user for decision in decisions]


def counting(proposal: Proposal) -> list[Decision]:
    """The approvals that count now: the signer is active, may still decide and has not lost the
    role that was signed with; an emergency's signer may still sign alone.
    """
    given = approvals_of(proposal)
    users = get_user_model().objects.prefetch_related("groups").in_bulk([d.user_id for d in given])
    return [d for d in given if not _lapsed(d, users[d.user_id])]


def _lapsed(decision: Decision, user: Any) -> str:
    """Why a signature counts no longer; '' when it does."""
    name = user.get_username()
    if not user.is_active:
        return f"{name}, who signed, has no active account any more"
    if not user.has_perm(BREAK_GLASS if decision.is_break_glass else DECIDE):
        return f"{name}, who signed, may not do so any more"
    if rank_of(role_of(user)) < rank_of(decision.role):
        return f"{name} signed as {decision.role} and is {role_of(user) or 'without a role'} now"
    return ""


def signatures_hold(proposal: Proposal) -> str:
    """'' when the proposal may be executed on its signatures, else why not.

    Re-hashes the payload, and asks each signer's account and the policy of now. Call it with the
    proposal's row locked.
    """
    if proposal.computed_digest() != proposal.digest:
        return f"the payload of proposal {proposal.pk} no longer matches the digest that was signed"
    given = approvals_of(proposal)
    users = get_user_model().objects.prefetch_related("groups").in_bulk([d.user_id for d in given])
    lapsed = {d.pk: why for d in given if (why := _lapsed(d, users[d.user_id]))}
    holding = [d for d in given if d.pk not in lapsed]
    if any(d.user_id == proposal.requested_by_id for d in given):
        return f"proposal {proposal.pk} carries a signature of the person who asked for it"
    if any(d.is_break_glass for d in holding):
        return ""
    requirement = requirement_now(proposal)
    missing = missing_of(requirement, [d.role for d in holding])
    said = "; ".join(lapsed.values())
    if missing.next_roles:
        need = max(requirement.signatures, requirement.distinct_roles)
        return f"{len(holding)} of {need} signatures of proposal {proposal.pk} count now" + (
            f": {said}" if said else "; the policy asks for more than when it was signed"
        )
    if low := [d for d in holding if rank_of(d.role) < rank_of(requirement.least_role)]:
        return (
            f"{low[0].user.get_username()} signed as {low[0].role}; the policy now asks for "
            f"{_one(requirement.least_role)}"
        )
    if proposal.risk == Risk.HIGH and not any(
        users[d.user_id].has_perm(DECIDE_HIGH_RISK) for d in holding
    ):
        return f"no signer of proposal {proposal.pk} may decide on high risk any more"
    if requirement.reauthenticate and any(not d.reauthenticated for d in holding):
        return "the policy now asks signers to prove who they are again"
    return ""
