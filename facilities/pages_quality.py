"""Pages of quality: points, assets, sources with their three steps, one point."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from facilities.api.quality import trend_of
from facilities.models import PointQuality
from facilities.models.asset import AssetKind
from facilities.models.quality import Scope
from facilities.quality import reads

PAGE_SIZE = 50
TREND = timedelta(days=7)
NAMES = {
    "gap": "Gap",
    "timeliness": "Timeliness",
    "jitter": "Sampling jitter",
    "quantisation": "Quantisation",
    "flat_line": "Flat line",
    "attenuated": "Attenuated",
    "redundancy": "Redundant sensors",
    "drift": "Drift",
    "stream": "As it came in",
}


def _filters(request: HttpRequest) -> dict[str, str]:
    given = {
        name: request.GET.get(name, "").replace("\0", "").strip()
        for name in ("flag", "kind", "search", "asset")
    }
    given["flag"] = given["flag"] if given["flag"] in reads.FLAGS else ""
    given["kind"] = given["kind"] if given["kind"] in AssetKind.values else ""
    return given


@require_safe
@login_required
def points(request: HttpRequest) -> HttpResponse:
    """Points, worst first, under the facility's counts and trend."""
    given = _filters(request)
    found = reads.point_verdicts(
        flag=given["flag"], asset=given["asset"], kind=given["kind"], search=given["search"]
    )
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    counts = reads.counts_by_flag()
    context = {
        "nav": "quality",
        "tab": "points",
        "page": page,
        "given": given,
        "kinds": AssetKind.choices,
        "flags": reads.FLAGS,
        "counts": counts,
        "total": sum(counts.values()),
        "trend": _facility_trend(),
    }
    return render(request, "facilities/quality/points.html", context)


def _facility_trend() -> dict[str, Any]:
    return trend_of(Scope.FACILITY, "", datetime.now(UTC) - TREND)


@require_safe
@login_required
def assets(request: HttpRequest) -> HttpResponse:
    """Assets, worst first."""
    given = _filters(request)
    found = reads.asset_scores(kind=given["kind"], search=given["search"])
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "nav": "quality",
        "tab": "assets",
        "page": page,
        "rows": [reads.asset_score(row) for row in page],
        "given": given,
        "kinds": AssetKind.choices,
    }
    return render(request, "facilities/quality/assets.html", context)


@require_safe
@login_required
def sources(request: HttpRequest) -> HttpResponse:
    """Performance → transform → transfer of every source over the last hour."""
    page = Paginator(reads.sources_found(), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "nav": "quality",
        "tab": "sources",
        "page": page,
        "rows": reads.source_steps(sources=list(page), now=datetime.now(UTC)),
    }
    return render(request, "facilities/quality/sources.html", context)


@require_safe
@login_required
def point(request: HttpRequest, tag: str) -> HttpResponse:
    """One point: every test with its sentence, scores and their trend, limits."""
    found = (
        None
        if "\0" in tag
        else PointQuality.objects.select_related("point__asset", "point__latest")
        .filter(point__tag=tag)
        .first()
    )
    if found is None:
        raise Http404(f"there is no verdict on a point {tag}")
    tests = [
        {"name": NAMES[name], "key": name, **found.tests[name]}
        for name in NAMES
        if name in found.tests
    ]
    context = {
        "nav": "quality",
        "found": found,
        "point": found.point,
        "latest": getattr(found.point, "latest", None),
        "tests": tests,
        "limits": getattr(found.point, "quality_limit", None),
        "trend": trend_of(Scope.POINT, tag, datetime.now(UTC) - TREND),
    }
    return render(request, "facilities/quality/point.html", context)
