"""Page: the map of a hall, now, in the past, and half an hour ahead."""

from __future__ import annotations

from typing import Final

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from facilities.hallmap.ahead import HORIZON_S
from facilities.hallmap.incidents import incidents
from facilities.hallmap.plan import hall_plan
from facilities.models import Hall

SPANS: Final = ((900, "15 min"), (3600, "1 h"), (6 * 3600, "6 h"), (86_400, "24 h"))
LAYERS: Final = (
    ("heat", "Heat", "thermometer"),
    ("air", "Airflow", "wind"),
    ("power", "Power", "plug-zap"),
    ("network", "Network", "network"),
)


@require_safe
@login_required
def halls(request: HttpRequest) -> HttpResponse:
    """Go to the first hall, or say that there is none."""
    first = Hall.objects.order_by("slug").first()
    if first is None:
        return render(request, "facilities/hall.html", {"nav": "hall", "hall": None})
    return redirect("facilities:hall", slug=first.slug)


@require_safe
@login_required
def hall(request: HttpRequest, slug: str) -> HttpResponse:
    """One hall: plan, layers, time. ``?incident=ID`` plays back that alarm's group."""
    try:
        if "\0" in slug:  # PostgreSQL takes no NUL; such a slug names nothing
            raise Hall.DoesNotExist
        plan = hall_plan(slug)
    except Hall.DoesNotExist:
        raise Http404(f"there is no hall {slug[:80]!r}") from None
    every = list(Hall.objects.order_by("slug"))
    own = next(one for one in every if one.slug == slug)
    asked = request.GET.get("incident", "")
    head = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 18 else None
    listed = incidents(hall_id=own.pk)
    if head is not None and all(one.id != head for one in listed):
        listed = incidents(hall_id=own.pk, head=head) + listed
    context = {
        "nav": "hall",
        "hall": own,
        "halls": every,
        "layers": LAYERS,
        "spans": SPANS,
        "incidents": listed,
        "incident": head,
        "setup": {"plan": plan.as_dict(), "horizon_s": HORIZON_S, "incident": head},
    }
    return render(request, "facilities/hall.html", context)
