"""HTML pages: data list, alarm console, asset."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from facilities.api.points import points_found
from facilities.models import Asset
from facilities.selectors import alarms, asset_context

HISTORY_SIZE = 20


@require_safe
@login_required
def asset(request: HttpRequest, tag: str) -> HttpResponse:
    """One asset: values, neighbours by power, cooling and network, open alarms."""
    try:
        context = asset_context(tag=_clean(tag))
    except Asset.DoesNotExist:
        raise Http404(f"there is no asset {tag}") from None
    history = (
        alarms()
        .filter(point__asset=context.asset, cleared_at__isnull=False)
        .order_by("-cleared_at", "-id")
    )[:HISTORY_SIZE]
    values = {
        "nav": "points",
        "context": context,
        "asset": context.asset,
        "points": points_found(asset=context.asset.tag),
        "history": history,
    }
    return render(request, "facilities/asset.html", values)


def _clean(tag: str) -> str:
    """PostgreSQL takes no NUL; such a tag names nothing."""
    if "\0" in tag:
        raise Http404("there is nothing with this tag")
    return tag
