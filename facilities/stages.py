"""How far a point may be trusted: raw → verified → AI-ready, computed, never typed in.

*Raw*: nobody has accepted the line. *Verified*: a person has. *AI-ready*: verified, with unit,
range and sampling interval declared, and a measured quality score of at least ``AI_READY_SCORE``.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import transaction
from django.db.models import Case, CharField, Q, QuerySet, Value, When
from django.utils import timezone

from facilities.models import Point
from facilities.models.point import Stage

AI_READY_SCORE: Final = 0.9
"""Quality score from which a model may rest on a point; assumed."""

_COMPLETE: Final = (
    Q(verified=True, min_value__isnull=False, max_value__isnull=False)
    & Q(sampling_interval_s__isnull=False)
    & ~Q(unit="")
)
READY: Final = _COMPLETE & Q(quality_state__score__gte=AI_READY_SCORE)


def with_stage(points: QuerySet[Point]) -> QuerySet[Point]:
    """Annotate ``stage``; one join."""
    return points.annotate(
        stage=Case(
            When(READY, then=Value(Stage.AI_READY.value)),
            When(verified=True, then=Value(Stage.VERIFIED.value)),
            default=Value(Stage.RAW.value),
            output_field=CharField(),
        )
    )


def missing_for_ai(point: Point) -> list[str]:
    """What a point lacks to be AI-ready, in words; empty when it is."""
    lacks = []
    if not point.verified:
        lacks.append("a person has not accepted it")
    if not point.unit:
        lacks.append("no unit")
    if point.min_value is None or point.max_value is None:
        lacks.append("no range")
    if point.sampling_interval_s is None:
        lacks.append("no sampling interval")
    state = getattr(point, "quality_state", None)
    score = state.score if state is not None else None
    if score is None:
        lacks.append("quality not measured yet")
    elif score < AI_READY_SCORE:
        lacks.append(f"quality score {score:.2f} is below {AI_READY_SCORE:g}")
    return lacks


@transaction.atomic
def points_verify(*, points: QuerySet[Point], user: Any) -> int:
    """Accept raw points as they stand; return how many. Noted with person and time."""
    return points.filter(verified=False).update(
        verified=True, verified_at=timezone.now(), verified_by=user
    )
