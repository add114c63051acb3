"""Plants a drill now and then, while somebody is there to see it and nothing serious is open."""

from __future__ import annotations

import logging
from datetime import timedelta
from random import Random, SystemRandom
from typing import Final

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from approvals.catalogue import KINDS, check_conditions
from approvals.catalogue.situation import Situation
from approvals.errors import GateError
from approvals.honesty.flaws import FLAWS, Planted
from approvals.models import AuditEntry, Drill, Proposal, ProposalLook
from approvals.policy.document import policy_now
from approvals.prediction import predictions_make
from approvals.services.proposals import ProposalDraft, proposal_create
from approvals.situations import asset_name, situation_read
from approvals.states import OPEN_STATES
from facilities.models import Alarm, Hall

log = logging.getLogger(__name__)

EVERY_S: Final = 600.0
WEEK_S: Final = 7 * 86_400.0
ON_SHIFT: Final = timedelta(minutes=60)
"""Whoever did something in the last hour is taken to be there (assumed)."""
SERIOUS: Final = ("critical", "high")


def drill_maybe(*, rng: Random | None = None) -> Proposal | None:
    """Called every `EVERY_S`: plants one with the chance that makes `per_week` of them a week, if
    the policy wants drills, somebody is on shift and the hall is quiet. None: not this time.
    """
    rng = rng or SystemRandom()
    terms = policy_now().drills
    if not terms.enabled or terms.per_week <= 0:
        return None
    if rng.random() >= terms.per_week * EVERY_S / WEEK_S:
        return None
    week = timezone.now() - timedelta(seconds=WEEK_S)
    if Drill.objects.filter(planted_at__gt=week).count() >= terms.per_week:
        return None
    if why := not_now():
        log.debug("no drill: %s", why)
        return None
    return drill_plant(rng=rng)


def not_now() -> str:
    """Why a drill would be out of place; "" when it would not."""
    if Alarm.objects.filter(cleared_at__isnull=True, severity__in=SERIOUS).exists():
        return "a serious alarm is open"
    if Proposal.objects.filter(state__in=OPEN_STATES).exists():
        return "a proposal is open"
    if not on_shift():
        return "nobody is on shift"
    return ""


def on_shift() -> list[str]:
    """Names of those who may decide and did something here in the last hour, in order."""
    since = timezone.now() - ON_SHIFT
    deciders = {
        user.pk: user.get_username()
        for user in get_user_model().objects.with_perm(
            "approvals.decide_proposal", backend="django.contrib.auth.backends.ModelBackend"
        )
    }
    acted = AuditEntry.objects.filter(actor__in=deciders.values(), at__gt=since)
    names = set(acted.exclude(event="logout").values_list("actor", flat=True).distinct())
    looks = ProposalLook.objects.filter(user_id__in=deciders, seen_at__gt=since)
    names |= {deciders[pk] for pk in looks.values_list("user_id", flat=True)}
    return sorted(names)


def drill_plant(*, rng: Random | None = None, flaw: str = "") -> Proposal | None:
    """Plant one now, in a hall and with a flaw chosen by chance (or `flaw`); None where no hall has
    anything for it. It goes the way of every other proposal and can never be executed.
    """
    rng = rng or SystemRandom()
    halls = list(Hall.objects.order_by("slug").values_list("slug", flat=True))
    rng.shuffle(halls)
    for hall in halls:
        situation = situation_read(hall=hall)
        names = [flaw] if flaw else rng.sample(list(FLAWS), len(FLAWS))
        for name in names:
            planted = FLAWS[name](situation, rng)
            if planted is not None and (made := _plant(planted, situation)) is not None:
                return made
    return None


def _plant(planted: Planted, situation: Situation) -> Proposal | None:
    """Make the proposal and its drill row; None where its own preconditions would give it away, or
    a real one for the target is open."""
    kind = KINDS[planted.action.kind]
    checked = check_conditions(
        (c.as_dict() for c in kind.conditions(planted.action, situation)),
        situation.values,
        now=timezone.now(),
    )
    if not all(condition.ok for condition in checked):
        return None
    [predicted] = predictions_make(actions=[planted.action], situation=situation)
    draft = ProposalDraft(
        action=planted.action,
        rationale=planted.rationale,
        citations=planted.citations,
        evidence=planted.evidence,
        prediction=predicted,
        is_drill=True,
    )
    try:
        with transaction.atomic():
            proposal = proposal_create(draft=draft, situation=situation)
            Drill.objects.create(
                proposal=proposal, flaw=planted.flaw, planted_at=proposal.created_at
            )
    except GateError as error:
        log.info("no drill on %s: %s", asset_name(planted.action.target), error.detail)
        return None
    return proposal
