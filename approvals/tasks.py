"""Celery tasks of the gate: thin, take ids, safe to repeat.

`execute_*` run on queue actions, the rest on agent.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from approvals.models import Effect, Proposal
from approvals.services import proposal_expire_due
from approvals.states import ProposalState

log = logging.getLogger(__name__)

MEASURE_EVERY_S = 5
# A signed proposal still unwritten after this long has lost its message (broker or worker died).
ORPHANED_AFTER_S = 10

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "approvals-expire": {"task": "approvals.tasks.expire_due", "schedule": 5.0},
    "approvals-measure": {
        "task": "approvals.tasks.measure_open_effects",
        "schedule": float(MEASURE_EVERY_S),
    },
    "approvals-resume": {"task": "approvals.tasks.execute_orphans", "schedule": 10.0},
    "approvals-reconcile": {"task": "approvals.tasks.reconcile_unknown", "schedule": 10.0},
    "approvals-confirm": {"task": "approvals.tasks.confirm_written", "schedule": 3.0},
    "approvals-investigate": {"task": "approvals.tasks.investigate_open_alarms", "schedule": 10.0},
    **(
        {
            "approvals-patrol": {
                "task": "approvals.tasks.agent_patrol",
                "schedule": float(settings.AGENT_PATROL_S),
            }
        }
        if settings.AGENT_PATROL_S > 0
        else {}
    ),
    "approvals-anchor": {"task": "approvals.tasks.anchor_audit", "schedule": 900.0},
    "approvals-rollbacks": {"task": "approvals.tasks.propose_rollbacks", "schedule": 15.0},
    "approvals-drill": {"task": "approvals.tasks.plant_drill", "schedule": 600.0},
    "approvals-outcomes": {"task": "approvals.tasks.report_outcomes", "schedule": 15.0},
    "approvals-notify": {"task": "approvals.tasks.send_notifications", "schedule": 5.0},
    "approvals-remind": {"task": "approvals.tasks.remind_of_expiry", "schedule": 15.0},
    "approvals-emergencies": {"task": "approvals.tasks.remind_of_emergencies", "schedule": 60.0},
    "approvals-token-uses": {"task": "approvals.tasks.audit_token_uses", "schedule": 300.0},
}


@shared_task
def remind_of_emergencies() -> int:
    """Tell of emergency approvals whose reviews are late."""
    from approvals.services.break_glass import break_glass_remind

    return break_glass_remind()


@shared_task
def audit_token_uses() -> int:
    """Note in the trail which sources pushed with their token today."""
    from approvals.token_uses import token_uses_note

    return token_uses_note()


@shared_task(acks_late=True, reject_on_worker_lost=True)
def execute_proposal(proposal_id: int) -> str:
    """Write an approved proposal to the plant, once."""
    from approvals.execution import execute

    done = execute(proposal_id=proposal_id)
    if done.again_s is not None:
        execute_proposal.apply_async((proposal_id,), countdown=done.again_s)
    return done.outcome


@shared_task
def reconcile_unknown() -> int:
    """Look what became of writes whose outcome is unknown."""
    from approvals.execution import reconcile_open

    return reconcile_open()


@shared_task
def confirm_written() -> int:
    """Hold what the plant confirmed against what its points show."""
    from approvals.execution import confirm_open

    return confirm_open()


@shared_task
def execute_orphans() -> int:
    """Queue approved or half-executed proposals whose message got lost."""
    long_ago = timezone.now() - timedelta(seconds=ORPHANED_AFTER_S)
    waiting = Proposal.objects.filter(
        state__in=(ProposalState.APPROVED, ProposalState.EXECUTING), state_changed_at__lt=long_ago
    ).values_list("pk", flat=True)
    for proposal_id in waiting:
        execute_proposal.delay(proposal_id)
    return len(waiting)


@shared_task
def measure_effect(proposal_id: int) -> str:
    """Look at one effect now; the beat sweep below repeats it until there is a verdict."""
    from approvals.effects import effect_measure

    return effect_measure(proposal_id=proposal_id).verdict


@shared_task
def measure_open_effects() -> int:
    """Look at every effect without a verdict."""
    open_effects = Effect.objects.filter(verdict="").values_list("proposal_id", flat=True)
    for proposal_id in open_effects:
        measure_effect.run(proposal_id)
    return len(open_effects)


@shared_task
def expire_due() -> int:
    """Expire proposals nobody decided in time. Writes nothing to the plant."""
    return proposal_expire_due()


@shared_task(acks_late=True, reject_on_worker_lost=True)
def investigate_alarm(alarm_id: int) -> str:
    """Let the agent look at one alarm, once."""
    from approvals.agent import investigate

    return investigate(alarm_id=alarm_id)


@shared_task
def investigate_open_alarms() -> int:
    """Queue open alarms that nobody looks at: a lost message, a dead worker, or a reason to look
    again.
    """
    from approvals.agent import alarms_to_investigate
    from approvals.agent.patrol import requests_waiting

    waiting, asked = alarms_to_investigate(), requests_waiting()
    for alarm_id in waiting:
        investigate_alarm.delay(alarm_id)
    for investigation_id in asked:
        answer_investigation.delay(investigation_id)
    return len(waiting) + len(asked)


@shared_task(acks_late=True, reject_on_worker_lost=True)
def answer_investigation(investigation_id: int) -> str:
    """Carry out a look that a person asked for, once."""
    from approvals.agent import investigation_answer

    return investigation_answer(investigation_id=investigation_id)


@shared_task
def agent_patrol() -> dict[str, Any]:
    """The agent's scheduled look at what is conspicuous without an alarm."""
    from approvals.agent import patrol

    return patrol()


@shared_task
def report_outcomes() -> int:
    """Write the outcome reports of closed proposals that have none yet."""
    from approvals.outcome import outcomes_submit

    return outcomes_submit()


@shared_task
def anchor_audit() -> int:
    """Anchor the finished days of the audit trail that have no anchor yet."""
    from approvals.anchors import anchors_make

    return len(anchors_make())


@shared_task
def send_notifications() -> int:
    """Send what is due to people: just written, or to be tried again."""
    from approvals.notify.deliver import deliver_due

    return deliver_due()


@shared_task
def remind_of_expiry() -> int:
    """Tell of proposals whose time runs out undecided."""
    from approvals.notify.moves import remind_expiring

    return remind_expiring()


@shared_task
def propose_rollbacks() -> int:
    """Put up for undoing what failed or had no effect, where the policy asks for that."""
    from approvals.services.rollback import rollbacks_propose

    return rollbacks_propose()


@shared_task
def plant_drill() -> int:
    """Now and then, where the policy wants it: a proposal that is known to be bad."""
    from approvals.honesty.planting import drill_maybe

    return int(drill_maybe() is not None)
