"""The page of one point."""

from __future__ import annotations

from typing import Final

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from facilities.api.alarms import CONSOLE_ORDER
from facilities.models import Point
from facilities.selectors import alarms

HISTORY_SIZE: Final = 20
SPANS: Final = (
    (900, "15 min"),
    (3600, "1 h"),
    (6 * 3600, "6 h"),
    (86_400, "24 h"),
    (7 * 86_400, "7 d"),
    (30 * 86_400, "30 d"),
    (365 * 86_400, "1 y"),
)


@require_safe
@login_required
def point(request: HttpRequest, tag: str) -> HttpResponse:
    """One point: facts, chart, its alarms, its readings as they came."""
    if "\0" in tag:  # PostgreSQL takes no NUL; such a tag names nothing
        raise Http404("there is nothing with this tag")
    found = get_object_or_404(
        Point.objects.select_related("asset__hall", "latest", "quality_state"), tag=tag
    )
    context = {
        "nav": "points",
        "point": found,
        "latest": getattr(found, "latest", None),
        "enum": found.enum,
        "spans": SPANS,
        "alarms": alarms().filter(point=found).order_by(*CONSOLE_ORDER)[:HISTORY_SIZE],
    }
    return render(request, "facilities/point.html", context)
