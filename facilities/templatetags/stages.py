"""How far a point may be trusted, on a page."""

from __future__ import annotations

from django import template

from facilities.models import Point
from facilities.models.point import Stage
from facilities.stages import missing_for_ai

register = template.Library()


@register.filter
def stage(point: Point) -> str:
    """``raw``, ``verified`` or ``ai_ready``."""
    if not point.verified:
        return str(Stage.RAW)
    return str(Stage.VERIFIED if missing_for_ai(point) else Stage.AI_READY)


@register.filter
def lacks(point: Point) -> str:
    """What keeps the point from being AI-ready, in words; empty when it is."""
    return "; ".join(missing_for_ai(point))
