"""Page Energy: ISO/IEC 30134 ratios, energy by end use, the power chain."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

PERIODS = (
    ("1h", "Hour"),
    ("24h", "24 hours"),
    ("7d", "7 days"),
    ("month", "Month"),
    ("custom", "Custom"),
)


@require_safe
@login_required
def energy(request: HttpRequest) -> HttpResponse:
    """The frame; its module fetches ``/api/v1/energy/…``. The period stands in the URL."""
    chosen = request.GET.get("period", "24h")
    if chosen not in dict(PERIODS):
        chosen = "24h"
    return render(
        request,
        "facilities/energy.html",
        {"nav": "energy", "periods": PERIODS, "period": chosen},
    )
