"""One investigation from claim to conclusion. The steps are the ones the page shows."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from approvals.agent.choose import MAX_OPTIONS
from approvals.agent.experience import past_outcomes
from approvals.agent.moved import find_moved
from approvals.agent.propose import propose_or_attach
from approvals.agent.rank import Candidate, ranked
from approvals.agent.steps import (
    decide,
    enumerate_actions,
    find_support,
    gather,
    predict,
    vote,
)
from approvals.agent.timeline import Timeline
from approvals.audit import AGENT, audit_append
from approvals.live import push_investigation
from approvals.models import Investigation, InvestigationOutcome
from approvals.states import ProposalState
from facilities.alarms.kinds import KINDS
from facilities.alarms.quiet import quiet_now
from facilities.models import Alarm

log = logging.getLogger(__name__)

# A running investigation older than this belongs to a dead worker (the model's timeout is 120 s).
STALE_AFTER = timedelta(minutes=5)
# An open alarm without a proposal is looked at again after this, at most MAX_ATTEMPTS times:
# procedures may have been imported, readings may have become fresh, or the proposal may have run
# out.
AGAIN_AFTER = timedelta(seconds=60)
MAX_ATTEMPTS = 5
# Alarms queued by one look: a storm of thousands must not bury the worker that evaluates alarms.
AT_ONCE = 20


class Conclusion(NamedTuple):
    """How an investigation ended. `text` is a sentence for people."""

    outcome: str
    text: str
    proposal_id: int | None = None
    with_model: bool = False


def alarms_to_investigate() -> list[int]:
    """Ids of open alarms that nobody has looked at, or that deserve another look now.

    At most ``AT_ONCE``, oldest first; not those that are hidden as consequences of another alarm,
    shelved or in maintenance.
    """
    return list(
        Alarm.objects.filter(cleared_at__isnull=True)
        .exclude(pk__in=Alarm.objects.filter(quiet_now(timezone.now())).values("pk"))
        .filter(Q(investigation__isnull=True) | _due("investigation__"))
        .order_by("raised_at", "pk")
        .values_list("pk", flat=True)[:AT_ONCE]
    )


def _due(prefix: str = "") -> Q:
    """Investigations that may be claimed again: abandoned, or without result for a while."""
    now = timezone.now()
    ended_badly = (ProposalState.FAILED, ProposalState.NO_EFFECT, ProposalState.EXPIRED)
    abandoned = Q(**{f"{prefix}outcome": "", f"{prefix}started_at__lt": now - STALE_AFTER})
    fruitless = Q(
        **{f"{prefix}outcome__in": (InvestigationOutcome.NONE, InvestigationOutcome.FAILED)}
    ) | Q(**{f"{prefix}proposal__state__in": ended_badly})
    again = Q(
        **{f"{prefix}finished_at__lt": now - AGAIN_AFTER, f"{prefix}attempts__lt": MAX_ATTEMPTS}
    )
    return abandoned | (fruitless & again)


def investigate(*, alarm_id: int) -> str:
    """Look at one alarm.

    Returns the outcome, or "" when somebody else has it or there is nothing to look at.
    """
    investigation = _claim(alarm_id)
    if investigation is None:
        return ""
    timeline = Timeline(earlier=investigation.timeline, attempt=investigation.attempts)
    try:
        conclusion = _look(investigation.alarm, timeline)
    except Exception as error:
        log.exception("investigation of alarm %s failed", alarm_id)
        conclusion = Conclusion(
            InvestigationOutcome.FAILED,
            f"The investigation could not finish: {type(error).__name__}: {error}",
        )
    _conclude(investigation, conclusion, timeline)
    return conclusion.outcome


def _claim(alarm_id: int) -> Investigation | None:
    now = timezone.now()
    held = Alarm.objects.filter(quiet_now(now)).values("pk")
    if not Alarm.objects.filter(pk=alarm_id, cleared_at__isnull=True).exclude(pk__in=held).exists():
        return None
    with transaction.atomic():
        investigation, created = Investigation.objects.get_or_create(
            alarm_id=alarm_id, defaults={"started_at": now}
        )
        if not created:
            claimed = (
                Investigation.objects.filter(
                    pk__in=Investigation.objects.filter(_due(), alarm_id=alarm_id).values("pk")
                )
                .filter(started_at=investigation.started_at)
                .update(started_at=now, finished_at=None, outcome="", attempts=F("attempts") + 1)
            )
            if claimed != 1:
                return None
        audit_append(event="investigation.started", actor=AGENT, obj=f"alarm:{alarm_id}")
        push_investigation(investigation_id=investigation.pk, event="started")
    return Investigation.objects.select_related("alarm__point__asset__parent", "alarm__rule").get(
        pk=investigation.pk
    )


def _look(alarm: Alarm, timeline: Timeline) -> Conclusion:
    if KINDS[alarm.rule.kind].of_instrument:
        return Conclusion(
            InvestigationOutcome.NONE,
            f"No action proposed: {alarm.rule.name} on {alarm.point.tag} says that the instrument or "
            "its source is not to be trusted, not that the plant is in trouble. Check the sensor.",
        )
    situation, sentences = gather(alarm, timeline)
    sentences += find_moved(alarm, timeline)
    found = enumerate_actions(situation, timeline)
    if not found:
        return Conclusion(
            InvestigationOutcome.NONE,
            f"No action proposed: nothing in the catalogue helps against {alarm.rule.name} on "
            f"{alarm.point.asset.name} now.",
        )
    candidates = find_support(alarm, found, timeline)
    usable = [c for c in candidates if c.score > 0]
    if not usable:
        return Conclusion(InvestigationOutcome.NONE, _why_none(candidates))
    usable = predict(situation, usable, timeline)
    voted, with_model = vote(situation, sentences, ranked(usable)[:MAX_OPTIONS], timeline)
    best = decide(voted, with_model, timeline)
    experience = past_outcomes(best=best, alarm=alarm, timeline=timeline)
    with timeline.step("propose", "Put it in front of people", action=best.title) as step:
        made = propose_or_attach(
            best=best,
            alarm=alarm,
            situation=situation,
            sentences=sentences,
            experience=experience,
        )
        step.output = {"proposal": made.proposal_id, "attached": made.attached}
    without = "" if with_model else " (without model)"
    if made.attached:
        text = (
            f"Proposal #{made.proposal_id} is already open for this hall; one change at a time, "
            "so the alarm was "
            f"added to it as evidence{without}."
        )
        return Conclusion(InvestigationOutcome.ATTACHED, text, made.proposal_id, with_model)
    return Conclusion(
        InvestigationOutcome.PROPOSED,
        f"Proposed: {best.title}{without}.",
        made.proposal_id,
        with_model,
    )


def _why_none(candidates: list[Candidate]) -> str:
    valid = [c for c in candidates if c.valid]
    if not valid:
        detail = next(check.detail for c in candidates for check in c.checked if not check.ok)
        return (
            f"No action proposed: no candidate's preconditions hold, e.g. {candidates[0].title}: "
            f"{detail}."
        )
    return (
        f"No action proposed: no procedure step instructs any of the {len(valid)} possible actions "
        f"(e.g. {valid[0].title})."
    )


def _conclude(investigation: Investigation, conclusion: Conclusion, timeline: Timeline) -> None:
    with transaction.atomic():
        Investigation.objects.filter(
            pk=investigation.pk, started_at=investigation.started_at
        ).update(
            finished_at=timezone.now(),
            outcome=conclusion.outcome,
            conclusion=conclusion.text,
            with_model=conclusion.with_model,
            proposal_id=conclusion.proposal_id,
            timeline=timeline.steps,
        )
        audit_append(
            event="investigation.concluded",
            actor=AGENT,
            obj=f"alarm:{investigation.alarm_id}",
            payload={
                "outcome": conclusion.outcome,
                "conclusion": conclusion.text,
                "proposal": conclusion.proposal_id,
                "with_model": conclusion.with_model,
            },
        )
        push_investigation(investigation_id=investigation.pk, event="concluded")
