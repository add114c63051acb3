"""One investigation from claim to conclusion. The steps are the ones the page shows."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from approvals.agent.look import Verdict, look
from approvals.agent.occasion import Occasion, occasion_of_alarm
from approvals.agent.propose import propose_or_attach
from approvals.agent.timeline import Timeline
from approvals.agent.world import Budget, LiveWorld
from approvals.audit import AGENT, audit_append
from approvals.live import push_investigation
from approvals.models import Investigation, InvestigationOutcome
from approvals.states import OPEN_STATES, ProposalState
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
    verdict: Verdict | None = None


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
    # What waited for a change elsewhere has its own turn when that change is over, whatever came of
    # it.
    fruitless |= Q(
        **{
            f"{prefix}outcome": InvestigationOutcome.ATTACHED,
            f"{prefix}record__verdict__held_up": True,
        }
    ) & ~Q(**{f"{prefix}proposal__state__in": OPEN_STATES})
    again = Q(
        **{f"{prefix}finished_at__lt": now - AGAIN_AFTER, f"{prefix}attempts__lt": MAX_ATTEMPTS}
    )
    return abandoned | (fruitless & again)


def investigate(*, alarm_id: int, budget: Budget | None = None) -> str:
    """Look at one alarm.

    Returns the outcome, or "" when somebody else has it or there is nothing to look at.
    """
    investigation = _claim(alarm_id)
    if investigation is None or investigation.alarm is None:
        return ""
    return investigation_run(
        investigation=investigation,
        occasion=occasion_of_alarm(investigation.alarm),
        budget=budget,
    )


def investigation_open(*, occasion: Occasion, asked_by: Any = None) -> Investigation | None:
    """Begin a look without an alarm; None while another one at the same asset is under way.

    One that a person asked for waits for a worker (`attempts` 0) to claim it.
    """
    now = timezone.now()
    try:
        with transaction.atomic():
            Investigation.objects.filter(
                alarm__isnull=True,
                subject=occasion.asset,
                outcome="",
                started_at__lt=now - STALE_AFTER,
            ).update(
                outcome=InvestigationOutcome.FAILED,
                finished_at=now,
                conclusion="The worker that looked died; nobody took it over.",
            )
            investigation = Investigation.objects.create(
                trigger=occasion.trigger,
                subject=occasion.asset,
                question=occasion.question or occasion.what,
                asked_by=asked_by,
                attempts=0 if asked_by else 1,
                started_at=now,
            )
            audit_append(
                event="investigation.started",
                actor=asked_by.get_username() if asked_by else AGENT,
                obj=f"investigation:{investigation.pk}",
                payload={
                    "trigger": occasion.trigger,
                    "asset": occasion.asset,
                    "question": investigation.question,
                },
            )
            push_investigation(investigation_id=investigation.pk, event="started")
    except IntegrityError:
        return None
    return investigation


def investigation_run(
    *, investigation: Investigation, occasion: Occasion, budget: Budget | None = None
) -> str:
    """Look, propose or attach, and store how it ended. Returns the outcome; raises nothing."""
    timeline = Timeline(earlier=investigation.timeline, attempt=investigation.attempts)
    world = LiveWorld(timeline, budget=budget)
    conclusion, verdict = None, None
    try:
        verdict = look(occasion, world)
        conclusion = _end(verdict, investigation, timeline)
    except Exception as error:
        log.exception("%s failed", investigation)
        conclusion = Conclusion(
            InvestigationOutcome.FAILED,
            f"The investigation could not finish: {type(error).__name__}: {error}",
            verdict=verdict,
        )
    record = {
        "occasion": occasion.as_dict(),
        **world.record(),
        "verdict": verdict.as_dict() if verdict else None,
    }
    _conclude(investigation, conclusion, timeline, record)
    return conclusion.outcome


def _end(verdict: Verdict, investigation: Investigation, timeline: Timeline) -> Conclusion:
    if verdict.best is None and verdict.waiting is None:
        return Conclusion(InvestigationOutcome.NONE, verdict.text, verdict=verdict)
    title = verdict.best.title if verdict.best else "add it to the open proposal"
    with timeline.step("propose", "Put it in front of people", action=title) as step:
        made = propose_or_attach(verdict=verdict, requested_by=investigation.asked_by)
        step.output = {"proposal": made.proposal_id, "attached": made.attached}
    if not made.attached:
        return Conclusion(
            InvestigationOutcome.PROPOSED, verdict.text, made.proposal_id, verdict=verdict
        )
    text = verdict.text
    if verdict.waiting is None:
        text = (
            f"Proposal #{made.proposal_id} was opened for this in the meantime; one change at a "
            "time, so this was added to it as evidence."
        )
    return Conclusion(InvestigationOutcome.ATTACHED, text, made.proposal_id, verdict=verdict)


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


def _conclude(
    investigation: Investigation,
    conclusion: Conclusion,
    timeline: Timeline,
    record: dict[str, Any],
) -> None:
    verdict = conclusion.verdict
    with transaction.atomic():
        Investigation.objects.filter(
            pk=investigation.pk, started_at=investigation.started_at
        ).update(
            finished_at=timezone.now(),
            outcome=conclusion.outcome,
            conclusion=conclusion.text,
            with_model=bool(verdict and verdict.with_model),
            proposal_id=conclusion.proposal_id,
            hypotheses=[cause.as_dict() for cause in verdict.causes] if verdict else [],
            record=record,
            timeline=timeline.steps,
        )
        audit_append(
            event="investigation.concluded",
            actor=AGENT,
            obj=(
                f"alarm:{investigation.alarm_id}"
                if investigation.alarm_id
                else f"investigation:{investigation.pk}"
            ),
            payload={
                "outcome": conclusion.outcome,
                "conclusion": conclusion.text,
                "proposal": conclusion.proposal_id,
                "with_model": bool(verdict and verdict.with_model),
            },
        )
        push_investigation(investigation_id=investigation.pk, event="concluded")
