"""From a decision to a row: a new proposal, or more evidence for the one already open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import connection, transaction

from approvals.agent import explain
from approvals.agent.rank import Candidate
from approvals.catalogue.situation import Situation
from approvals.selectors import open_proposal_in_hall
from approvals.services.proposals import ProposalDraft, proposal_attach_alarm, proposal_create
from facilities.models import Alarm, Hall

# First key of the advisory lock that serialises the agent per hall; the second is the hall's id.
HALL_LOCK = 0x4841


class Made(NamedTuple):
    """The proposal an alarm ended in; `attached` when it existed before."""

    proposal_id: int
    attached: bool


def propose_or_attach(
    *,
    best: Candidate,
    alarm: Alarm,
    situation: Situation,
    sentences: list[str],
    experience: Sequence[dict[str, Any]] = (),
) -> Made:
    """Propose `best`, unless a proposal is open for the hall: alarms of one cause make one
    proposal.

    One change at a time is also what lets the effect of a change be measured.
    """
    hall_id = Hall.objects.filter(slug=situation.hall).values_list("pk", flat=True).first() or 0
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [HALL_LOCK, hall_id])
        waiting = open_proposal_in_hall(hall=situation.hall)
        if waiting is not None:
            proposal_attach_alarm(proposal_id=waiting.pk, evidence=explain.alarm_evidence(alarm))
            return Made(waiting.pk, True)
        draft = ProposalDraft(
            action=best.action,
            rationale=explain.rationale(best, sentences, situation),
            citations=[best.support.citation] if best.support.citation else [],
            evidence=[
                explain.alarm_evidence(alarm),
                *explain.reading_evidence(situation, explain.telling_tags(best, alarm, situation)),
                *experience,
            ],
            alarm_id=alarm.pk,
            prediction=dict(best.prediction or {}),
        )
        return Made(proposal_create(draft=draft, situation=situation).pk, False)
