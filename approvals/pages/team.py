"""How the team decides: its figures, one's own, and the drills that were told."""

from __future__ import annotations

from typing import cast

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AbstractUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from approvals.honesty.figures import DAYS, LEAST, QUICK_S, drills_revealed, team_figures
from approvals.policy.document import policy_now


@require_GET
@login_required
def team(request: HttpRequest) -> HttpResponse:
    """Everybody signed in sees the team; their own row is marked."""
    whole, people = team_figures()
    name = cast(AbstractUser, request.user).get_username()
    return render(
        request,
        "approvals/team.html",
        {
            "nav": "approvals",
            "days": DAYS,
            "least": LEAST,
            "quick_s": QUICK_S,
            "team": whole,
            "people": people,
            "own": next((one for one in people if one.name == name), None),
            "drills": drills_revealed(),
            "drill_terms": policy_now().drills,
        },
    )
