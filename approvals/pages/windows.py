"""Change freezes and maintenance windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from approvals.models import ChangeWindow
from approvals.pages.policy import match_choices
from approvals.policy.calendar import Occurrence, occurrences
from approvals.policy.windows import Window

WEEKS = 4
PAST = 30


@require_safe
@login_required
def windows(request: HttpRequest) -> HttpResponse:
    """What stands now, the coming weeks day by day, and every window."""
    now = timezone.now()
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    monday = today - timedelta(days=today.weekday())
    end = monday + timedelta(weeks=WEEKS)
    rows = ChangeWindow.objects.select_related("made_by", "cancelled_by")
    coming = rows.filter(ends_at__gt=now, cancelled_at=None).order_by("starts_at")
    found = occurrences(after=monday, before=end)
    return render(
        request,
        "approvals/windows.html",
        {
            "nav": "approvals",
            "now": now,
            "standing": [one for one in found if one.start <= now < one.end],
            "weeks": _weeks(found, monday, today),
            "coming": [_line(row, now) for row in coming],
            "past": [_line(row, now) for row in rows.exclude(pk__in=coming.values("pk"))[:PAST]],
            "may_change": request.user.has_perm("approvals.change_policy"),
            "data": match_choices(),
        },
    )


def _line(row: ChangeWindow, now: datetime) -> dict[str, Any]:
    window = Window.of(row)
    return {
        "row": row,
        "covers": window.match.words,
        "when": window.when,
        "next": window.next_start(now) if row.cancelled_at is None else None,
        "stands": row.cancelled_at is None and window.span_at(now) is not None,
    }


def _weeks(found: list[Occurrence], monday: datetime, today: datetime) -> list[Any]:
    """Weeks of days (UTC), each with the spans that touch it."""
    days = [monday + timedelta(days=n) for n in range(7 * WEEKS)]
    cells = [
        {
            "day": day,
            "is_today": day == today,
            "is_past": day < today,
            "spans": [
                {
                    "one": one,
                    "from": max(one.start, day),
                    "whole": one.start <= day and one.end >= day + timedelta(days=1),
                    "until": min(one.end, day + timedelta(days=1)),
                }
                for one in found
                if one.start < day + timedelta(days=1) and one.end > day
            ],
        }
        for day in days
    ]
    return [cells[n : n + 7] for n in range(0, len(cells), 7)]
