"""HTML pages of the alarms: console, performance, rules, maintenance, notifications."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_required, permission_required
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from facilities.alarms.kinds import KINDS
from facilities.alarms.metrics import FLOOD_PER_10MIN, MANAGEABLE_PER_10MIN, metrics
from facilities.alarms.notify.escalation import counts as delivery_counts
from facilities.alarms.payload import AlarmSerializer
from facilities.alarms.table import rule_table
from facilities.api.alarms import filtered
from facilities.models import (
    AlarmPolicy,
    AlarmRule,
    Asset,
    Delivery,
    Envelope,
    EscalationChain,
    Hall,
    MaintenanceWindow,
    NotificationChannel,
    Shelf,
)
from facilities.models.alarm import Severity
from facilities.models.asset import AssetKind
from facilities.models.notify import DeliveryState
from facilities.selectors import open_alarms

CONSOLE_SIZE = 300
LOG_SIZE = 50
PERIODS = ((8, "8 h"), (24, "24 h"), (168, "7 d"), (720, "30 d"))


@require_safe
@login_required
def console(request: HttpRequest) -> HttpResponse:
    """Active alarms first; filtered, grouped, live, and worked from the keyboard."""
    wrong = ""
    try:
        rows = list(filtered(Request(request))[:CONSOLE_SIZE])
    except ValidationError as error:
        rows, wrong = [], ", ".join(str(text) for text in _sentences(error.detail))
    context: dict[str, Any] = {
        "nav": "alarms",
        "tab": "console",
        "severities": Severity.choices,
        "halls": Hall.objects.values_list("slug", "name"),
        "alarms": AlarmSerializer(rows, many=True).data,
        "counts": _counts(),
        "may_acknowledge": request.user.has_perm("facilities.acknowledge_alarm"),
        "people": _operators() if request.user.has_perm("facilities.acknowledge_alarm") else [],
        "limit": CONSOLE_SIZE,
        "is_cut": len(rows) == CONSOLE_SIZE,
        "wrong": wrong,
    }
    return render(request, "facilities/alarms.html", context)


def _sentences(detail: Any) -> list[Any]:
    """What a refusal says, by parameter."""
    return [text for texts in detail.values() for text in texts]


def _counts() -> dict[str, int]:
    counts = dict.fromkeys(Severity.values, 0)
    for severity in open_alarms().filter(suppressed=False).values_list("severity", flat=True):
        counts[severity] += 1
    return counts


def _operators() -> list[str]:
    """User names of those who may take care of an alarm."""
    people = get_user_model()._default_manager.filter(is_active=True)
    able = Q(groups__permissions__codename="acknowledge_alarm") | Q(is_superuser=True)
    return list(
        people.filter(able).distinct().order_by("username").values_list("username", flat=True)
    )


@require_safe
@login_required
def performance(request: HttpRequest) -> HttpResponse:
    """How the alarm system does, by ISA-18.2."""
    asked = request.GET.get("hours", "24")
    hours = int(asked) if asked in {str(value) for value, _ in PERIODS} else 24
    found = metrics(end=timezone.now(), hours=hours)
    peak = max((slot.count for slot in found.slots), default=0)
    verdict = (
        "ok"
        if found.per_10min <= 1
        else "medium"
        if found.per_10min <= MANAGEABLE_PER_10MIN
        else "critical"
    )
    context = {
        "nav": "alarms",
        "tab": "metrics",
        "hours": hours,
        "periods": PERIODS,
        "found": found,
        "verdict": verdict,
        "peak": peak,
        "flood": FLOOD_PER_10MIN,
        "suppressed_pct": 100 * found.suppressed / found.total if found.total else 0,
        "flood_pct": 100 * found.flood_share,
        "slots": {
            "ts": [slot.at.timestamp() for slot in found.slots],
            "counts": [slot.count for slot in found.slots],
            "hours": hours,
            "now": timezone.now().timestamp(),
        },
    }
    return render(request, "facilities/alarm_metrics.html", context)


@require_safe
@login_required
def rules(request: HttpRequest) -> HttpResponse:
    """Rules as templates and single points, with their open alarms; envelopes; the policy."""
    found = (
        AlarmRule.objects.select_related("point")
        .annotate(
            open=Count("alarms", filter=Q(alarms__cleared_at__isnull=True)), raised=Count("alarms")
        )
        .order_by("asset_kind", "quantity", "name")
    )
    context = {
        "nav": "alarms",
        "tab": "rules",
        "rules": [(rule, KINDS[rule.kind].unit) for rule in found],
        "broken": rule_table().broken,
        "envelopes": Envelope.objects.order_by("name", "-range"),
        "policy": AlarmPolicy.current(),
        "may_manage": request.user.has_perm("facilities.manage_alarms"),
    }
    return render(request, "facilities/alarm_rules.html", context)


@require_safe
@login_required
def maintenance(request: HttpRequest) -> HttpResponse:
    """Windows now, later and past; what lies on the shelf."""
    now = timezone.now()
    windows = MaintenanceWindow.objects.select_related("asset", "hall", "created_by").annotate(
        held=Count("alarms")
    )
    context = {
        "nav": "alarms",
        "tab": "maintenance",
        "now": now,
        "current": windows.filter(starts_at__lte=now, ends_at__gt=now),
        "coming": windows.filter(starts_at__gt=now).order_by("starts_at"),
        "past": windows.filter(ends_at__lte=now)[:LOG_SIZE],
        "shelves": Shelf.objects.filter(until__gt=now).select_related(
            "point", "rule", "shelved_by"
        ),
        "halls": Hall.objects.values_list("slug", "name"),
        "kinds": AssetKind.choices,
        "assets": Asset.objects.order_by("tag").values_list("tag", flat=True)[:5000],
        "may_manage": request.user.has_perm("facilities.manage_alarms"),
    }
    return render(request, "facilities/alarm_maintenance.html", context)


@require_safe
@login_required
@permission_required("facilities.manage_alarms", raise_exception=True)
def notifications(request: HttpRequest) -> HttpResponse:
    """Channels with a test button, chains, and the log of every message."""
    state = request.GET.get("state", "")
    state = state if state in DeliveryState.values else ""
    log = Delivery.objects.select_related("channel", "alarm")
    if state:
        log = log.filter(state=state)
    context = {
        "nav": "alarms",
        "tab": "notifications",
        "channels": NotificationChannel.objects.order_by("name"),
        "chains": EscalationChain.objects.select_related("hall").prefetch_related(
            "steps__channel", "steps__user"
        ),
        "log": Paginator(log, LOG_SIZE).get_page(request.GET.get("page")),
        "counts": delivery_counts(),
        "state": state,
        "states": DeliveryState.choices,
        "severities": Severity.choices,
        "roles": ("operator", "supervisor", "admin"),
        "people": _operators(),
    }
    return render(request, "facilities/alarm_notifications.html", context)
