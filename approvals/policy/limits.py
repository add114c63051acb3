"""Rate and reach: how much may be changed at once, and in an hour."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from approvals.policy.document import Rule
from approvals.policy.history import HOUR, UNDER_WAY, WRITTEN, Change
from approvals.policy.matching import reach_of
from approvals.policy.requirement import Denial, Subject
from approvals.policy.windows import moment

COUNTED = ("per_hour", "per_target_per_hour", "open_at_once")
REACHES = {"max_racks": "racks", "max_gpus": "gpus", "max_it_kw": "it_kw"}
NAMES = {"racks": "racks", "gpus": "GPUs", "it_kw": "kW of IT load"}


def counts(rule: Rule) -> bool:
    """Whether the rule needs the history."""
    return any(name in rule.limits for name in COUNTED)


def reach_denials(rule: Rule, subject: Subject) -> list[Denial]:
    """What the action reaches beyond the rule's limits."""
    reached = reach_of(subject.blast_radius)
    return [
        Denial(
            "blast_radius",
            f"“{rule.name}”: the action reaches {reached[part]:g} {NAMES[part]}, at most "
            f"{rule.limits[name]:g} may be touched at once",
            None,
            True,
        )
        for name, part in REACHES.items()
        if name in rule.limits and reached[part] > rule.limits[name]
    ]


def rate_denials(
    rule: Rule, subject: Subject, at: datetime, step: str, changes: Sequence[Change]
) -> list[Denial]:
    """What was executed in the hour before `at`, and what is under way, against the limits.

    Only changes that the rule covers count, and never the subject's own proposal. Approved ones
    count as under way when another is signed, not when one of them is executed: two signed at once
    would wait for each other.
    """
    others = [
        c
        for c in changes
        if c.subject.proposal_id != subject.proposal_id and rule.match.covers(c.subject)
    ]
    found = []
    begun = [c for c in others if c.started_at is not None and c.started_at > at - HOUR]
    here = [c for c in begun if c.subject.target == subject.target]
    for name, counted, where in (
        ("per_hour", begun, ""),
        ("per_target_per_hour", here, f" on {subject.target}"),
    ):
        if name in rule.limits and len(counted) >= rule.limits[name]:
            found.append(_too_often(rule, counted, int(rule.limits[name]), where))
    states = WRITTEN if step == "execute" else UNDER_WAY
    open_now = [c for c in others if c.state in states]
    most = rule.limits.get("open_at_once")
    if most is not None and len(open_now) >= most:
        named = ", ".join(f"#{c.subject.proposal_id} on {c.subject.target}" for c in open_now[:3])
        sentence = (
            f"“{rule.name}”: {_changes(len(open_now))} under way ({named}), at most {most:g} may "
            "be; wait until one has ended"
        )
        found.append(Denial("open_at_once", sentence, None, True))
    return found


def _too_often(rule: Rule, counted: Sequence[Change], most: int, where: str) -> Denial:
    times = sorted((c.started_at for c in counted if c.started_at), reverse=True)
    until = times[most - 1] + HOUR
    return Denial(
        "rate_limit",
        f"“{rule.name}”: {_changes(len(times))} executed{where} within an hour, at most {most} may "
        f"be; the next may be at {moment(until)}",
        until,
        True,
    )


def _changes(number: int) -> str:
    return "1 change was" if number == 1 else f"{number} changes were"
