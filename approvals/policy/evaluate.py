"""Holds the policy in force against one proposal: what it needs, and what stands in its way.

Every rule that matches applies; of each field the strictest value wins, and a denial wins over
everything. The pure functions take the policy, the windows and the history; `requirement_for` and
`denials` read them (at most six queries, whatever the number of rules).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal

from django.conf import settings
from django.db import connection

from approvals.models import Proposal
from approvals.policy.document import Policy, Rule, policy_now
from approvals.policy.history import Change, changes_at, subject_of_proposal
from approvals.policy.limits import counts, rate_denials, reach_denials
from approvals.policy.requirement import STRICTEST, Denial, Requirement, Subject, stricter
from approvals.policy.windows import Window, freezes_at, maintenance_opens, moment, windows_from
from approvals.policy.words import requirement_words

__all__ = [
    "denials",
    "denials_of",
    "freeze_overtakes",
    "requirement_for",
    "requirement_under",
    "subject_of_proposal",
]

Step = Literal["propose", "approve", "execute"]
# Names the counting of executions among PostgreSQL's advisory locks.
LIMITS_LOCK = 0x4C494D49


def requirement_for(*, subject: Subject, at: datetime) -> Requirement:
    """What the policy in force asks for (one query)."""
    return requirement_under(policy=policy_now(), subject=subject, at=at)


def requirement_under(*, policy: Policy, subject: Subject, at: datetime) -> Requirement:
    """What a policy asks for: the strictest of every matching rule.

    A field that no rule names is as in `Requirement`, the validity as in OPS_PROPOSAL_TTL_S.
    """
    rules = [r for r in policy.rules if r.require and r.match.fits(subject, at)]
    values = _strictest([r.require for r in rules])
    base = Requirement(approval_valid_s=float(settings.PROPOSAL_TTL_S), policy=policy.number)
    asked = replace(base, **values)
    return replace(
        asked,
        signatures=max(asked.signatures, asked.distinct_roles, 1),
        because=tuple(f"{r.name}: {requirement_words(r.require)}" for r in rules),
    )


def _strictest(asked: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    all_of = list(asked)
    named = {name: [values[name] for values in all_of if name in values] for name in STRICTEST}
    return {name: STRICTEST[name](values) for name, values in named.items() if values}


def denials(
    *, subject: Subject, at: datetime, step: str, requirement: Requirement | None = None
) -> list[Denial]:
    """Why the step (propose, approve or execute) may not be taken at that time; empty: it may.

    `requirement` is what the proposal is held to where that is stricter than the policy's own (a
    stored one that asks for a maintenance window). At "execute" and where executions are counted, a
    lock is held until the transaction ends, so that two claims at once cannot both be the last
    allowed one: call it before anything is appended to the audit trail.
    """
    policy = policy_now()

    def history() -> list[Change]:
        if step == "execute" and connection.in_atomic_block:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LIMITS_LOCK])
        return changes_at(at)

    return denials_of(
        policy=policy,
        windows=windows_from(at),
        history=history,
        subject=subject,
        at=at,
        step=step,
        requirement=requirement,
    )


def denials_of(
    *,
    policy: Policy,
    windows: Sequence[Window],
    history: Callable[[], Sequence[Change]],
    subject: Subject,
    at: datetime,
    step: str,
    requirement: Requirement | None = None,
) -> list[Denial]:
    """The same without reading anything; `history` is called only where a rule counts.

    Proposing is denied only by what no time ends and nothing can waive: what a freeze or a rate
    holds up today may be signed tomorrow.
    """
    rules = [r for r in policy.rules if r.match.fits(subject, at)]
    asked = requirement or requirement_under(policy=policy, subject=subject, at=at)
    found = [_refused(rule, at) for rule in rules if rule.deny]
    found += _frozen(windows, subject, at)
    found += _outside_window(windows, subject, at, step, asked)
    for rule in rules:
        found += reach_denials(rule, subject)
    if step != "propose" and any(counts(rule) for rule in rules):
        changes = history()
        for rule in rules:
            found += rate_denials(rule, subject, at, step, changes)
    if not policy.break_glass.enabled:
        found = [denial._replace(can_break_glass=False) for denial in found]
    if step == "propose":
        # What depends on the moment may end without a time of its own.
        lasting = ("denied", "blast_radius")
        return [d for d in found if d.until is None and not d.can_break_glass and d.code in lasting]
    return found


def _refused(rule: Rule, at: datetime) -> Denial:
    span = rule.match.span_at(at) if rule.match.has_times else None
    until = span.end if span else None
    ends = f" until {moment(until)}" if until else ""
    sentence = f"“{rule.name}” forbids {rule.match.words}{ends}: {rule.reason}"
    return Denial("denied", sentence, until, False)


def _frozen(windows: Sequence[Window], subject: Subject, at: datetime) -> list[Denial]:
    found = []
    for window in freezes_at(windows, subject, at):
        span = window.span_at(at)
        until = span.end if span else window.ends_at
        sentence = (
            f"change freeze “{window.name}” covers {subject.target} until {moment(until)}: "
            f"{window.reason}"
        )
        found.append(Denial("freeze", sentence, until, True))
    return found


def freeze_overtakes(*, proposal: Proposal, at: datetime) -> Denial | None:
    """The freeze before whose end an execution under way may not take its next step; None: it goes
    on (three queries at most).

    None also where what was signed and the policy of now both say `finish`. Whether an emergency
    approval waived freezes is the caller's matter.
    """
    subject = subject_of_proposal(proposal)
    asked = stricter(
        Requirement.from_dict(proposal.requirement), requirement_for(subject=subject, at=at)
    )
    if asked.on_freeze != "hold":
        return None
    return next(iter(_frozen(windows_from(at), subject, at)), None)


def _outside_window(
    windows: Sequence[Window], subject: Subject, at: datetime, step: str, asked: Requirement
) -> list[Denial]:
    """Signing is possible as long before the window as the signature stays good."""
    if not asked.maintenance_only:
        return []
    opens = maintenance_opens(windows, subject, at)
    grace = timedelta(seconds=asked.execute_within_s if step == "approve" else 0)
    if opens is not None and opens <= at + grace:
        return []
    when = f"the next opens at {moment(opens)}" if opens else "none is planned"
    sentence = f"{subject.target} may be changed inside a maintenance window only; {when}"
    return [Denial("outside_window", sentence, opens, True)]
