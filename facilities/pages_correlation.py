"""Page: what moved with a point, or with the point of an alarm."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from facilities.correlation import Correlation, correlate
from facilities.correlation.explain import duration
from facilities.correlation.service import AFTER_ALARM, BEFORE_ALARM
from facilities.models import Alarm, Point

WINDOWS = (("15 minutes", 15), ("1 hour", 60), ("3 hours", 180))
SHOWN = 20


@require_safe
@login_required
def point_correlated(request: HttpRequest, tag: str) -> HttpResponse:
    """Points that moved with this one, from ``?start`` to ``?end`` (ISO 8601 or epoch s)."""
    if "\0" in tag:
        raise Http404("there is nothing with this tag")
    point = get_object_or_404(Point.objects.select_related("asset"), tag=tag)
    problem = ""
    end = start = datetime.now(UTC)
    try:
        end = _moment(request.GET.get("end", ""), end)
        minutes = request.GET.get("minutes", "")
        length = timedelta(minutes=int(minutes) if minutes.isdigit() and len(minutes) < 5 else 60)
        start = _moment(request.GET.get("start", ""), end - length)
    except (ValueError, OverflowError, OSError) as error:
        problem = f"The window is not understood: {error}."
    return _page(request, point, start, end, problem=problem)


@require_safe
@login_required
def alarm_correlated(request: HttpRequest, pk: int) -> HttpResponse:
    """Points that moved with the point of this alarm when it was raised."""
    alarm = get_object_or_404(Alarm.objects.select_related("point__asset", "rule", "point"), pk=pk)
    end = min(alarm.raised_at + AFTER_ALARM, datetime.now(UTC))
    return _page(request, alarm.point, alarm.raised_at - BEFORE_ALARM, end, alarm=alarm)


def _page(
    request: HttpRequest,
    point: Point,
    start: datetime,
    end: datetime,
    *,
    alarm: Alarm | None = None,
    problem: str = "",
) -> HttpResponse:
    found: Correlation | None = None
    if not problem:
        try:
            found = correlate(tag=point.tag, start=start, end=end, limit=SHOWN)
        except ValueError as error:
            problem = f"{str(error).capitalize()}."
    rows: list[dict[str, Any]] = []
    if found is not None:
        rows = [
            {
                **asdict(match),
                "lag": duration(abs(match.lag_s)),
                "percent": round(abs(match.r) * 100),
            }
            for match in found.matches
        ]
    plots = {
        "ts": found.ts if found else [],
        "own": found.overlay if found else [],
        "ownTag": point.tag,
        "marked": alarm.raised_at.timestamp() if alarm else None,
        "others": [{"tag": row["tag"], "r": row["r"], "values": row["overlay"]} for row in rows],
    }
    context = {
        "nav": "alarms" if alarm else "points",
        "point": point,
        "alarm": alarm,
        "found": found,
        "rows": rows,
        "plots": plots,
        "start": start,
        "end": end,
        "window_hash": f"span={round((end - start).total_seconds())}&end={end.timestamp():.3f}",
        "windows": WINDOWS,
        "problem": problem,
        "took_ms": sum(found.ms.values()) if found else 0,
    }
    return render(request, "facilities/correlated.html", context)


def _moment(value: str, default: datetime) -> datetime:
    """Read ISO 8601 (UTC when it names no zone) or epoch seconds. Raises ``ValueError``."""
    value = value.strip()
    if not value:
        return default
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except ValueError:
        found = datetime.fromisoformat(value.replace(" ", "+") if "T" in value else value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
