"""Who is told of what: one's own rules, the team's for supervisors, and what became of messages."""

from __future__ import annotations

from typing import cast

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AbstractUser
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from approvals.notify import rules
from approvals.notify.events import EVENTS, USUAL

LOG_PAGE = 30
STATES = (("waiting", "Waiting"), ("sent", "Sent"), ("failed", "Given up"))


@require_GET
@login_required
def notifications(request: HttpRequest) -> HttpResponse:
    """The page; its buttons call the API."""
    user = cast(AbstractUser, request.user)
    state = request.GET.get("state", "")
    log = rules.deliveries_of(user)
    counts = dict(log.order_by().values_list("state").annotate(Count("pk")))
    if state in dict(STATES):
        log = log.filter(state=state)
    manager = user.has_perm(rules.MANAGE)
    found = list(rules.rules_of(user))
    for rule in found:
        rule.labels = [EVENTS[name] for name in rule.events if name in EVENTS]  # type: ignore[attr-defined]
    return render(
        request,
        "approvals/notifications.html",
        {
            "nav": "approvals",
            "tab": "notifications",
            "own": [rule for rule in found if rule.user_id is not None],
            "team": [rule for rule in found if rule.user_id is None],
            "events": EVENTS.values(),
            "usual": USUAL,
            "manager": manager,
            "secrets": sorted(settings.DRIVER_SECRETS) if manager else [],
            "has_mail_server": bool(settings.SMTP.host),
            "email": user.email,
            "log": Paginator(log, LOG_PAGE).get_page(request.GET.get("page")),
            "state": state,
            "states": STATES,
            "counts": counts,
        },
    )
