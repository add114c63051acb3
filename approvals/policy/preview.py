"""Who would have to sign an action, and what stands in its way, before anybody asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib.auth.models import AbstractUser
from django.utils import timezone

from approvals.catalogue import KINDS, Checked, check_conditions
from approvals.policy.document import policy_now
from approvals.policy.evaluate import denials, requirement_for
from approvals.policy.people import Signer, signers, too_few
from approvals.policy.requirement import Denial, Requirement, Subject
from approvals.policy.staffing import shortages
from approvals.policy.words import requirement_words


class Preview(NamedTuple):
    """The answer for one action at one time.

    `barriers` by step (propose, approve, execute). `preconditions` are held against the values of
    now, whatever the time asked for. `problem`: why these people could not sign it at all;
    `warnings`: what else nobody would be left for.
    """

    title: str
    subject: Subject
    at: datetime
    requirement: Requirement
    sentence: str
    people: list[Signer]
    problem: str
    warnings: list[str]
    barriers: dict[str, list[Denial]]
    preconditions: list[Checked]
    writes: list[dict[str, Any]]
    cool_down_s: float
    prediction: dict[str, Any]


def action_preview(
    *,
    user: AbstractUser,
    kind: str,
    target: str,
    params: Mapping[str, Any],
    at: datetime | None = None,
    with_prediction: bool = False,
) -> Preview:
    """Ask for nothing and store nothing. Raises InvalidActionError as a request would."""
    # The services ask the policy, so it cannot import them at the top.
    from approvals.prediction import predictions_make
    from approvals.services.proposals import action_validate, author_of, subject_of
    from approvals.situations import asset_name

    action, situation = action_validate(kind=kind, target=target, params=dict(params))
    what = KINDS[kind]
    when = at or timezone.now()
    subject = subject_of(action=action, author=author_of(user), situation=situation)
    requirement = requirement_for(subject=subject, at=when)
    people = signers(requirement=requirement, without=[user.pk])
    lacking = shortages(
        requirement=requirement,
        risk=subject.risk,
        steps=what.steps(action, situation),
        without=[user.pk],
        emergency=policy_now().break_glass,
    )
    conditions = [c.as_dict() for c in what.conditions(action, situation)]
    predicted: dict[str, Any] = {}
    if with_prediction:
        [predicted] = predictions_make(actions=[action], situation=situation)
    return Preview(
        title=what.sentence(action, asset_name(target)),
        subject=subject,
        at=when,
        requirement=requirement,
        sentence=signing_sentence(requirement, people, subject.risk),
        people=people,
        problem=too_few(requirement, people, subject.risk),
        warnings=[one.text for one in lacking],
        barriers={
            step: denials(subject=subject, at=when, step=step)
            for step in ("propose", "approve", "execute")
        },
        preconditions=check_conditions(conditions, situation.values, now=timezone.now()),
        writes=[write.as_dict() for write in what.writes(action, situation)],
        cool_down_s=policy_now().cool_down_s(kind, float(getattr(what, "cool_down_s", 0.0))),
        prediction=predicted,
    )


def signing_sentence(requirement: Requirement, people: list[Signer], risk: str) -> str:
    """`Two signatures from two different roles. Could sign: olga (operator), sam (supervisor).`"""
    asked = {
        "signatures": requirement.signatures,
        "distinct_roles": requirement.distinct_roles,
        "least_role": requirement.least_role,
        "reason": requirement.reason,
        "reauthenticate": requirement.reauthenticate,
        "maintenance_only": requirement.maintenance_only,
    }
    words = requirement_words(asked)
    names = ", ".join(f"{one.username} ({one.role})" for one in people)
    one = "; one signer has to be allowed high risk" if risk == "high" else ""
    return f"{words[0].upper()}{words[1:]}{one}. Could sign: {names or 'nobody'}."
