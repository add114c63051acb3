"""From a decision to a row: a new proposal, or more evidence for the one already open."""

from __future__ import annotations

from typing import NamedTuple

from django.contrib.auth.models import AbstractUser
from django.db import connection, transaction

from approvals.agent import explain
from approvals.agent.look import Verdict
from approvals.agent.waiting import holds_up, read_twin, read_waiting
from approvals.errors import ConflictError
from approvals.services.proposals import ProposalDraft, proposal_attach_alarm, proposal_create
from facilities.models import Hall

# First key of the advisory lock that serialises the agent per hall; the second is the hall's id.
HALL_LOCK = 0x4841


class Made(NamedTuple):
    """The proposal an investigation ended in; `attached` when it existed before."""

    proposal_id: int
    attached: bool


def propose_or_attach(*, verdict: Verdict, requested_by: AbstractUser | None = None) -> Made:
    """Propose what was decided, unless a proposal is open for the same cause by now: alarms of one
    cause make one proposal.

    One change at a time is also what lets the effect of a change be measured. What a person asked
    the agent to look at counts as that person's proposal: somebody else has to sign it.
    """
    situation, occasion = verdict.facts.situation, verdict.facts.occasion
    hall_id = Hall.objects.filter(slug=situation.hall).values_list("pk", flat=True).first() or 0
    leading, best = verdict.causes[0], verdict.best
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [HALL_LOCK, hall_id])
        waiting = read_waiting(hall=situation.hall, asset=leading.asset, domain=leading.domain)
        if best is not None and not holds_up(waiting, best.action.kind):
            waiting = read_twin(kind=best.action.kind, target=best.action.target)
        if best is not None and not holds_up(waiting, best.action.kind):
            made = proposal_create(
                draft=ProposalDraft(
                    action=best.action,
                    rationale=verdict.rationale,
                    citations=[best.support.citation] if best.support.citation else [],
                    evidence=[
                        explain.occasion_evidence(occasion),
                        *explain.reading_evidence(
                            situation, explain.telling_tags(best, occasion, situation)
                        ),
                        *verdict.experience,
                    ],
                    alarm_id=occasion.alarm,
                    prediction=dict(best.prediction or {}),
                    case=dict(verdict.case),
                ),
                situation=situation,
                requested_by=requested_by,
            )
            return Made(made.pk, False)
        target = waiting["id"] if waiting else verdict.waiting
        if target is None:
            raise ConflictError("the proposal that this belonged to is closed by now")
        if occasion.alarm is not None:
            proposal_attach_alarm(proposal_id=target, evidence=explain.occasion_evidence(occasion))
        return Made(target, True)
