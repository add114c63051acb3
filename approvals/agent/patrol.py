"""Looks without an alarm: on a schedule at what is conspicuous, and on a person's request."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from approvals.agent.investigate import investigation_open, investigation_run
from approvals.agent.occasion import Occasion, occasion_of_asset
from approvals.agent.world import Budget
from approvals.canonical import iso_utc
from approvals.errors import ConflictError, InvalidActionError, NotAllowedError
from approvals.models import Investigation, Trigger
from facilities.models import Alarm, Asset, PointQuality, Quality
from facilities.tracking import reads

# Assets looked at in one scheduled round, most telling first.
AT_ONCE = 5
# A finding that a look led nowhere from is looked at again after this.
AGAIN_AFTER = timedelta(hours=12)
# The twin's findings count from this confidence on (assumed).
LEAST_CONFIDENCE = 0.8
# A doubt of the quality tests counts when it has lasted this long: spikes pass.
LASTING = timedelta(minutes=10)
QUESTION_CHARS = 500


def conspicuous() -> list[Occasion]:
    """What has no alarm and still deserves a look: twin findings, lasting doubts about sensors, one
    sensor that fell silent.

    Not where an alarm is open at the asset (that is looked at anyway), nor where a look ended
    within ``AGAIN_AFTER`` or is under way.
    """
    now, at = timezone.now(), iso_utc(timezone.now())
    found: dict[str, Occasion] = {}
    for finding in reads.findings().filter(confidence__gte=LEAST_CONFIDENCE)[:50]:
        found.setdefault(
            finding.asset.tag,
            occasion_of_asset(
                asset=finding.asset,
                trigger=Trigger.SCHEDULE.value,
                what=f"{finding.get_what_display()}: {finding.text}"[:300],
                at=at,
                point=finding.point.tag if finding.point else "",
            ),
        )
    # One silent sensor beside others of its asset that speak; a silent source is the alarms' affair.
    speaks = PointQuality.objects.filter(flag=Quality.GOOD, point__asset=OuterRef("point__asset"))
    lasting = Q(flag__in=(Quality.SUSPECT, Quality.FAIL), since__lt=now - LASTING)
    silent = Q(flag=Quality.MISSING) & Exists(speaks)  # the flag itself takes ten minutes
    doubted = PointQuality.objects.filter(reads.of_instruments(), lasting | silent)
    for doubt in doubted.select_related("point__asset").order_by("-flag", "since", "pk")[:50]:
        found.setdefault(
            doubt.point.asset.tag,
            occasion_of_asset(
                asset=doubt.point.asset,
                trigger=Trigger.SCHEDULE.value,
                what=f"{doubt.point.tag} is silent"
                if doubt.flag == Quality.MISSING
                else f"The quality tests doubt {doubt.point.tag}",
                at=at,
                point=doubt.point.tag,
            ),
        )
    alarmed = Alarm.objects.filter(cleared_at__isnull=True).values_list(
        "point__asset__tag", flat=True
    )
    seen = Investigation.objects.filter(
        subject__in=found, alarm__isnull=True, started_at__gte=now - AGAIN_AFTER
    ).values_list("subject", flat=True)
    left_out = {*alarmed, *seen}
    return [occasion for tag, occasion in found.items() if tag not in left_out][:AT_ONCE]


def patrol() -> dict[str, Any]:
    """One scheduled round. Returns how many looks there were by outcome, and how many gaps of the
    documents wait for people.
    """
    from rag.models import Gap

    outcomes: dict[str, int] = {}
    for occasion in conspicuous():
        investigation = investigation_open(occasion=occasion)
        if investigation is None:
            continue
        outcome = investigation_run(investigation=investigation, occasion=occasion)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    return {"looked": outcomes, "gaps_waiting": Gap.objects.filter(state="open").count()}


def investigation_request(
    *, user: AbstractUser, question: str = "", asset: str = ""
) -> Investigation:
    """Begin a look that a person asked for; `investigation_answer` carries it out.

    Whoever asks cannot sign what comes of it. Raises NotAllowedError, InvalidActionError (400: no
    such asset, or the question names none), ConflictError (409: a look at it is under way).
    """
    if not user.has_perm("approvals.add_proposal"):
        raise NotAllowedError("asking the agent to look needs the permission to propose actions")
    occasion = _occasion_asked(question=question.strip()[:QUESTION_CHARS], asset=asset.strip())
    investigation = investigation_open(occasion=occasion, asked_by=user)
    if investigation is None:
        raise ConflictError(
            f"the agent is looking at {occasion.asset} already; see its latest investigation",
            code="already_looking",
        )
    return investigation


def investigation_answer(*, investigation_id: int, budget: Budget | None = None) -> str:
    """Carry out a look that was asked for.

    Returns the outcome; "" when it has ended or another worker has it (claimed by conditional
    update).
    """
    waiting = Investigation.objects.filter(
        pk=investigation_id, outcome="", alarm__isnull=True, attempts=0
    )
    if waiting.update(attempts=1) != 1:
        return ""
    found = Investigation.objects.select_related("asked_by").get(pk=investigation_id)
    asset = Asset.objects.get(tag=found.subject)
    occasion = occasion_of_asset(
        asset=asset,
        trigger=found.trigger,
        what=found.question,
        at=iso_utc(found.started_at),
        question=found.question if found.trigger == Trigger.REQUEST else "",
        point=_worst_point(asset),
    )
    return investigation_run(investigation=found, occasion=occasion, budget=budget)


def requests_waiting() -> list[int]:
    """Requests that no worker has taken for 15 s: their message got lost."""
    return list(
        Investigation.objects.filter(
            alarm__isnull=True,
            attempts=0,
            outcome="",
            started_at__lt=timezone.now() - timedelta(seconds=15),
        )
        .order_by("started_at")
        .values_list("pk", flat=True)[:AT_ONCE]
    )


def _worst_point(asset: Asset) -> str:
    """The point of the asset's most severe open alarm; "" without one."""
    alarms = Alarm.objects.filter(cleared_at__isnull=True, point__asset=asset)
    return alarms.order_by("raised_at", "pk").values_list("point__tag", flat=True).first() or ""


def _occasion_asked(*, question: str, asset: str) -> Occasion:
    from rag.chat.asked import read_question

    tags = [asset] if asset else []
    if question and not tags:
        tags = [named.tag for named in read_question(question).mentions.assets]
        if not tags:
            tags = list(
                Alarm.objects.filter(cleared_at__isnull=True, suppressed=False)
                .order_by("raised_at", "pk")
                .values_list("point__asset__tag", flat=True)[:1]
            )
    if not tags:
        raise InvalidActionError(
            "name the equipment to look at, e.g. crac-2 or rack-1-04: no alarm is open and the "
            "question names none",
            code="nothing_to_look_at",
        )
    found = Asset.objects.filter(tag=tags[0]).first()
    if found is None:
        raise InvalidActionError(f"there is no asset {tags[0]!r}", code="unknown_asset")
    return occasion_of_asset(
        asset=found,
        trigger=Trigger.REQUEST.value,
        what=question or f"A look at {found.name}",
        at=iso_utc(timezone.now()),
        question=question or f"A look at {found.name}",
    )
