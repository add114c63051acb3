"""A policy held against what was really proposed, signed and executed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.utils import timezone

from approvals.models import ChangeWindow, Proposal, Verdict
from approvals.policy.clock import Span
from approvals.policy.document import Policy, in_force, policy_of
from approvals.policy.evaluate import denials_of, requirement_under
from approvals.policy.history import (
    HOUR,
    Change,
    author_word,
    changes_between,
    places_of,
    subject_from,
)
from approvals.policy.requirement import STRICTEST, Requirement, Subject
from approvals.policy.windows import Window, moment

MOST: Final = 2000
"""Proposals looked at, newest first."""
COMPARED: Final = (
    "signatures", "least_role", "distinct_roles", "reason", "reauthenticate", "editor_may_sign",
    "maintenance_only", "on_freeze",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One past proposal under the candidate policy.

    `change` is `stricter`, `looser` or `same` against the policy in force. `missing`: why the
    signatures that it got would not have been enough. `denied_by`: what would have held it up when
    it was signed or executed, and did not by the policy in force.
    """

    proposal: int
    title: str
    at: datetime
    state: str
    change: str
    was: Requirement
    now: Requirement
    missing: str
    denied_by: list[str]
    freed_from: list[str]

    @property
    def is_different(self) -> bool:
        return bool(self.change != "same" or self.denied_by or self.freed_from)


@dataclass(frozen=True, slots=True)
class Simulation:
    """Every case with a difference, newest first, and counts over all."""

    days: float
    looked_at: int
    is_cut: bool
    counts: dict[str, int]
    by_rule: dict[str, int]
    cases: list[Case]


@dataclass(frozen=True, slots=True)
class _Past:
    """What both policies are held against; all of it is read once."""

    windows: Sequence[Window]
    executed: Sequence[Change]

    def history(self, at: datetime) -> list[Change]:
        return [c for c in self.executed if c.started_at and at - HOUR < c.started_at <= at]

    def denials(self, policy: Policy, subject: Subject, at: datetime, step: str) -> list[str]:
        found = denials_of(
            policy=policy,
            windows=[w for w in self.windows if w.known_at(at)],
            history=lambda: self.history(at),
            subject=subject,
            at=at,
            step=step,
        )
        return [denial.sentence for denial in found]

    def overtaken(self, asked: Requirement, subject: Subject, run: Span) -> list[str]:
        """Freezes that began while it was executed and would have made its next step wait."""
        if asked.on_freeze != "hold":
            return []
        return [
            f"change freeze “{w.name}” began at {moment(s.start)} while it was executed: its next "
            "step would have waited"
            for w in self.windows
            if w.is_freeze and w.match.covers(subject)
            for s in w.spans(run.start, run.end)
            if run.has(s.start) and w.known_at(s.start)
        ]


def policy_simulate(*, document: Mapping[str, Any], days: float) -> Simulation:
    """Hold a document of the right form against the proposals of the last days (six queries).

    What a different policy would have made people do otherwise is not guessed: each proposal is
    looked at with the executions and windows that there really were. Drills are left out.
    """
    now = timezone.now()
    since = now - timedelta(days=days)
    rows = list(
        Proposal.objects.filter(created_at__gte=since, is_drill=False)
        .select_related("execution", "requested_by__agent_access")
        .prefetch_related("decisions")
        .order_by("-pk")[: MOST + 1]
    )
    places = places_of(row.target for row in rows)
    number, in_use = in_force()
    old, new = policy_of(in_use, number), policy_of(document, number + 1)
    windows = ChangeWindow.objects.filter(ends_at__gt=since, starts_at__lt=now)
    past = _Past(
        windows=[Window.of(row) for row in windows],
        executed=changes_between(since - HOUR, now),
    )
    cases = [_case(row, places, old, new, past) for row in rows[:MOST]]
    different = [case for case in cases if case.is_different]
    return Simulation(
        days=days,
        looked_at=len(cases),
        is_cut=len(rows) > MOST,
        counts={
            "stricter": sum(case.change == "stricter" for case in cases),
            "looser": sum(case.change == "looser" for case in cases),
            "too_few_signatures": sum(bool(case.missing) for case in cases),
            "denied": sum(bool(case.denied_by) for case in cases),
            "freed": sum(bool(case.freed_from) for case in cases),
            "same": len(cases) - len(different),
        },
        by_rule=_by_rule(different),
        cases=different,
    )


def _case(row: Proposal, places: Mapping[str, Any], old: Policy, new: Policy, past: _Past) -> Case:
    asker: Any = row.requested_by
    access = getattr(asker, "agent_access", None) if asker else None
    subject = subject_from(
        kind=row.kind,
        target=row.target,
        risk=row.risk,
        author=author_word(row.requested_by_id, access.pk if access else None),
        blast_radius=row.blast_radius,
        place=places.get(row.target),
        proposal_id=row.pk,
    )
    was, now = (
        requirement_under(policy=policy, subject=subject, at=row.created_at)
        for policy in (old, new)
    )
    signed = [d for d in row.decisions.all() if d.verdict == Verdict.APPROVE]
    moments = [(d.at, "approve") for d in signed]
    execution = getattr(row, "execution", None)
    if execution is not None:
        moments.append((execution.started_at, "execute"))
    before, after = (
        {text for at, step in moments for text in past.denials(policy, subject, at, step)}
        for policy in (old, new)
    )
    if execution is not None and execution.finished_at and _has_steps(execution):
        run = Span(execution.started_at, execution.finished_at)
        before |= set(past.overtaken(was, subject, run))
        after |= set(past.overtaken(now, subject, run))
    return Case(
        proposal=row.pk,
        title=row.title,
        at=row.created_at,
        state=row.state,
        change=_direction(was, now),
        was=was,
        now=now,
        missing=_missing(now, signed) if execution is not None else "",
        denied_by=sorted(after - before),
        freed_from=sorted(before - after),
    )


def _has_steps(execution: Any) -> bool:
    """Whether there was a next step that a freeze could have held."""
    return len(execution.steps) > 1 or len(execution.writes) > 1


def _direction(was: Requirement, now: Requirement) -> str:
    different = [name for name in COMPARED if getattr(was, name) != getattr(now, name)]
    if not different:
        return "same"
    if all(
        STRICTEST[name]([getattr(was, name), getattr(now, name)]) == getattr(was, name)
        for name in different
    ):
        return "looser"
    return "stricter"


def _missing(asked: Requirement, signed: Sequence[Any]) -> str:
    """Which of the signatures that an executed proposal got would not have been enough."""
    if any(d.is_break_glass for d in signed):
        return ""
    last = max((d.round for d in signed), default=1)
    of_round = [d for d in signed if d.round == last]
    people = {d.user_id for d in of_round}
    roles = {d.role for d in of_round if d.role}
    if len(people) < asked.signatures:
        return f"signed by {len(people)}, would have needed {asked.signatures}"
    if len(roles) < asked.distinct_roles:
        return f"signed by {len(roles)} role(s), would have needed {asked.distinct_roles}"
    if asked.reauthenticate and not all(d.reauthenticated for d in of_round):
        return "signed without password or code again"
    if asked.reason and not all(d.reason for d in of_round):
        return "signed without a reason"
    return ""


def _by_rule(cases: Sequence[Case]) -> dict[str, int]:
    """How many proposals each rule or window of the candidate would have asked more of or held up."""
    found: dict[str, int] = {}
    for case in cases:
        new_words = [w for w in case.now.because if w not in case.was.because]
        texts = [w.partition(":")[0] for w in new_words if case.change == "stricter"]
        texts += [_quoted(sentence) for sentence in case.denied_by]
        for name in set(texts):
            found[name] = found.get(name, 0) + 1
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _quoted(sentence: str) -> str:
    inside = sentence.partition("“")[2].partition("”")[0]
    return inside or "maintenance window"
