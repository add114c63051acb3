"""HTML pages: data list, point, alarm console, asset."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from facilities.alarms.payload import AlarmSerializer
from facilities.api.alarms import CONSOLE_ORDER
from facilities.api.points import points_found
from facilities.models import Asset, Point
from facilities.models.alarm import Severity
from facilities.models.asset import AssetKind
from facilities.selectors import alarms, asset_context, open_alarms

PAGE_SIZE = 100
CONSOLE_SIZE = 200
HISTORY_SIZE = 20


@require_safe
@login_required
def points(request: HttpRequest) -> HttpResponse:
    """Data list with live values, filtered by words and kind of asset."""
    search = request.GET.get("search", "").replace("\0", "").strip()
    kind = request.GET.get("kind", "")
    kind = kind if kind in AssetKind.values else ""
    page = Paginator(points_found(search=search, kind=kind), PAGE_SIZE).get_page(
        request.GET.get("page")
    )
    context = {
        "nav": "points",
        "page": page,
        "search": search,
        "kind": kind,
        "kinds": AssetKind.choices,
    }
    return render(request, "facilities/points.html", context)


@require_safe
@login_required
def point(request: HttpRequest, tag: str) -> HttpResponse:
    """One point: facts, live chart, its rules and alarms."""
    found = get_object_or_404(
        Point.objects.select_related("asset__hall", "latest"), tag=_clean(tag)
    )
    context = {
        "nav": "points",
        "point": found,
        "latest": getattr(found, "latest", None),
        "enum": found.enum,
        "alarms": alarms().filter(point=found).order_by(*CONSOLE_ORDER)[:HISTORY_SIZE],
    }
    return render(request, "facilities/point.html", context)


@require_safe
@login_required
def alarm_console(request: HttpRequest) -> HttpResponse:
    """Active alarms first; live, and acknowledged from the keyboard."""
    severity = request.GET.get("severity", "")
    severity = severity if severity in Severity.values else ""
    found = alarms().order_by(*CONSOLE_ORDER)
    if severity:
        found = found.filter(severity=severity)
    rows = list(found[:CONSOLE_SIZE])
    context: dict[str, Any] = {
        "nav": "alarms",
        "severity": severity,
        "severities": Severity.choices,
        "alarms": AlarmSerializer(rows, many=True).data,
        "counts": _counts(),
        "may_acknowledge": request.user.has_perm("facilities.acknowledge_alarm"),
        "limit": CONSOLE_SIZE,
        "is_cut": len(rows) == CONSOLE_SIZE,
    }
    return render(request, "facilities/alarms.html", context)


def _counts() -> dict[str, int]:
    counts = dict.fromkeys(Severity.values, 0)
    for severity in open_alarms().values_list("severity", flat=True):
        counts[severity] += 1
    return counts


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
