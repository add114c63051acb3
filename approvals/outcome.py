"""What became of a proposal, written down once it is closed: seen, proposed, decided, done,
measured.

Recorded facts only; words of people are quoted as such. The report waits in the knowledge base
until a supervisor releases it (`rag.growth.reports`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from approvals.catalogue import KINDS
from approvals.models import Proposal
from approvals.prediction import expected_at
from approvals.selectors import proposals
from approvals.states import ProposalState
from approvals.templatetags.gate import number, unit
from rag.growth.reports import plain, references_known, report_submit

S = ProposalState
CLOSED = (
    S.REJECTED, S.EXPIRED, S.SUPERSEDED, S.FAILED, S.VERIFIED, S.NO_EFFECT, S.CANNOT_TELL,
    S.ROLLED_BACK,
)  # fmt: skip
# A proposal that was closed longer ago gets no report any more (assumed: nobody would release it).
LOOK_BACK = timedelta(days=30)

_ENDED = {
    S.REJECTED: "rejected",
    S.EXPIRED: "expired undecided",
    S.FAILED: "failed",
    S.VERIFIED: "effect verified",
    S.NO_EFFECT: "no effect",
    S.SUPERSEDED: "replaced",
    S.UNKNOWN: "outcome unknown",
    S.CANNOT_TELL: "effect cannot be told",
    S.ROLLED_BACK: "rolled back",
}


def outcomes_submit() -> int:
    """Write the reports of closed proposals that have none yet. Returns how many. Drills are no
    experience: they get none.
    """
    closed = {
        reference_of(pk, state): pk
        for pk, state in Proposal.objects.filter(
            state__in=CLOSED, is_drill=False, state_changed_at__gt=timezone.now() - LOOK_BACK
        ).values_list("pk", "state")
    }
    missing = closed.keys() - references_known(closed)
    for proposal in proposals().filter(pk__in=[closed[name] for name in missing]).order_by("pk"):
        outcome_submit(proposal=proposal)
    return len(missing)


def outcome_submit(*, proposal: Proposal) -> None:
    """Hand one closed proposal's report to the knowledge base."""
    report_submit(
        reference=reference_of(proposal.pk, proposal.state),
        title=f"Outcome: {proposal.title} ({_ENDED[S(proposal.state)]})",
        body=outcome_body(proposal=proposal),
        facts=outcome_facts(proposal=proposal),
        url=reverse("approvals:proposal", args=[proposal.pk]),
    )


def reference_of(proposal_id: int, state: str = "") -> str:
    """What the report of a proposal is called. What is rolled back after its verdict gets a second
    report: the first may be released already.
    """
    return f"proposal-{proposal_id}" + ("-rolled-back" if state == S.ROLLED_BACK else "")


def outcome_facts(*, proposal: Proposal) -> dict[str, Any]:
    """The same as JSON, for comparison with later proposals."""
    effect = getattr(proposal, "effect", None)
    execution = getattr(proposal, "execution", None)
    expected = proposal.expected_effect
    decision = next(iter(proposal.decisions.all()), None)
    alarm = proposal.alarm
    seconds = _seconds(effect)
    predicted = (
        expected_at(proposal.prediction, seconds)
        if seconds is not None and proposal.prediction.get("tag") == expected.get("tag")
        else None
    )
    return {
        "proposal": proposal.pk,
        "kind": proposal.kind,
        "target": proposal.target,
        "target_kind": KINDS[proposal.kind].target_kind if proposal.kind in KINDS else "",
        "title": proposal.title,
        "params": proposal.params,
        "state": proposal.state,
        "alarm_rule": alarm.rule.name if alarm else "",
        "alarm_point": alarm.point.tag if alarm else "",
        "alarm_asset_kind": alarm.point.asset.kind if alarm else "",
        "asked_by": proposal.author,
        "decided_by": decision.user.get_username() if decision else "",
        "reason": decision.reason if decision else "",
        "written": bool(execution and execution.outcome == "succeeded"),
        "tag": expected.get("tag", ""),
        "direction": expected.get("direction", ""),
        "threshold": expected.get("threshold"),
        "unit": expected.get("unit", ""),
        "before": effect.before if effect else None,
        "after": effect.after if effect else None,
        "worst": effect.peak if effect else None,
        "estimate": effect.estimate if effect else None,
        "interval": [effect.estimate_low, effect.estimate_high] if effect else None,
        "rolls_back": proposal.rolls_back_id,
        "revises": proposal.revises_id,
        "seconds": seconds,
        "predicted": list(predicted) if predicted else None,
        "closed_at": _time(proposal.state_changed_at),
    }


def outcome_body(*, proposal: Proposal) -> str:
    """The report as Markdown."""
    parts = [
        f"# Outcome: {plain(proposal.title)} ({_ENDED[S(proposal.state)]})",
        _summary(proposal),
        "## What was seen",
        _seen(proposal),
        "## What was proposed",
        _proposed(proposal),
        "## What was decided",
        _decided(proposal),
        "## What was done",
        _done(proposal),
        "## What was measured",
        _measured(proposal),
    ]
    return "\n\n".join(parts) + "\n"


def _summary(proposal: Proposal) -> str:
    alarm = proposal.alarm
    cause = (
        f" after the alarm {plain(alarm.rule.name)} on {alarm.point.asset.name}" if alarm else ""
    )
    return (
        f"{plain(proposal.title)} was proposed on {_time(proposal.created_at)} by "
        f"{proposal.author}{cause}. Result: {_ENDED[S(proposal.state)]}. "
        f"This is experience from proposal {proposal.pk}, not a procedure."
    )


def _seen(proposal: Proposal) -> str:
    lines = []
    for item in proposal.evidence:
        if item.get("kind") == "alarm":
            lines.append(
                f"- {item['severity'].capitalize()} alarm at {_time(item['at'])}: "
                f"{plain(item['name'])}, `{item['tag']}` = {_value(item['value'], item['unit'])}"
            )
    readings = [item for item in proposal.evidence if item.get("kind") == "reading"]
    if readings:
        lines += ["", "| Point | Value when it was proposed | Read at |", "|---|---|---|"]
        lines += [
            f"| `{item['tag']}` | {_value(item['value'], item['unit'])} | {_time(item['at'])} |"
            for item in readings
        ]
    return "\n".join(lines).strip() or "No alarm or reading was recorded with the proposal."


def _proposed(proposal: Proposal) -> str:
    writes = ", ".join(f"`{w['tag']}` = {number(w['value'])}" for w in proposal.writes)
    lines = [f"{plain(proposal.title)}: write {writes or 'nothing'}. Risk: {proposal.risk}."]
    who = "Reason given by the agent" if proposal.requested_by is None else "Reason given"
    lines.append(f"{who}:\n\n> {plain(proposal.rationale) or 'none'}")
    lines += [
        f"Instructed by {cited['document'].upper()}"
        + (f" step {cited['step']}" if cited.get("step") else "")
        + f", revision {cited['revision']}."
        for cited in proposal.citations
    ]
    if proposal.expected_effect.get("sentence"):
        lines.append(f"Expected: {plain(proposal.expected_effect['sentence'])}")
    if proposal.prediction.get("sentence") and not proposal.prediction.get("problem"):
        lines.append(f"Predicted by the twin: {plain(proposal.prediction['sentence'])}")
    return "\n\n".join(lines)


def _decided(proposal: Proposal) -> str:
    lines = []
    for decision in proposal.decisions.all():
        verdict = decision.get_verdict_display().lower()
        line = f"- {verdict.capitalize()} by {decision.user.get_username()} at {_time(decision.at)}"
        lines.append(f"{line}: “{plain(decision.reason)}”" if decision.reason else f"{line}.")
    if proposal.state == S.SUPERSEDED:
        new = next(iter(proposal.revisions.all()), None)
        lines.append(f"- Replaced by proposal {new.pk}." if new else "- It was replaced.")
    if proposal.state == S.EXPIRED:
        lines.append(f"- Nobody decided before it expired at {_time(proposal.expires_at)}.")
    return "\n".join(lines) or "No decision was recorded."


def _done(proposal: Proposal) -> str:
    execution = getattr(proposal, "execution", None)
    if execution is None:
        return "Nothing was written to the plant."
    lines = [
        f"- `{write['tag']}` = {number(write['value'])}: {write['state']}"
        + (f" at {_time(write['answered_at'])}" if write.get("answered_at") else "")
        + (f", {plain(write['error'])}" if write.get("error") else "")
        for write in execution.writes
    ]
    undone = next((t.note for t in proposal.transitions.all() if t.to_state == S.ROLLED_BACK), "")
    if undone:
        lines.append(f"- Rolled back: {plain(undone)}.")
    return "\n".join([*lines, "", plain(execution.detail)]).strip()


def _measured(proposal: Proposal) -> str:
    effect = getattr(proposal, "effect", None)
    if effect is None or not effect.verdict:
        return "Nothing was measured, because nothing was written."
    if not effect.tag:
        return plain(effect.detail)
    goal = f"{effect.direction} {_value(effect.threshold, effect.unit)}"
    lines = [
        f"`{effect.tag}` should go {goal} within {effect.window_s:.0f} s. "
        f"Verdict: {effect.get_verdict_display().lower()}.",
        f"- Before: {_value(effect.before, effect.unit)}",
        f"- After: {_value(effect.after, effect.unit)}"
        + (f", {_seconds(effect):.0f} s after the write" if effect.measured_at else ""),
        f"- Worst in between: {_value(effect.peak, effect.unit)}",
    ]
    if effect.estimate is not None:
        shown = {"Cel": "K"}.get(effect.unit, unit(effect.unit))
        low, high = number(effect.estimate_low), number(effect.estimate_high)
        lines.append(
            f"- By the writes, measured less control: {number(effect.estimate)} {shown}".rstrip()
            + f" (90 % interval {low} to {high})"
        )
    return "\n".join([lines[0], "", *lines[1:], "", plain(effect.detail)])


def _seconds(effect: Any) -> float | None:
    if effect is None or effect.measured_at is None:
        return None
    return round((effect.measured_at - effect.started_at).total_seconds(), 1)


def _value(value: float | None, code: str) -> str:
    return "no reading" if value is None else f"{number(value)} {unit(code)}".rstrip()


def _time(moment: Any) -> str:
    found = parse_datetime(moment) if isinstance(moment, str) else moment
    return f"{found:%Y-%m-%d %H:%M:%S} UTC" if found else "an unknown time"
