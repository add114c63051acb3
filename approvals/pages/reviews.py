"""Emergency approvals that others have to look at afterwards."""

from __future__ import annotations

from typing import cast

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AbstractUser
from django.core.paginator import Paginator
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from approvals.services.break_glass import REVIEW, break_glass_overdue, break_glasses

REVIEWS_PAGE = 25


@require_GET
@login_required
def reviews(request: HttpRequest) -> HttpResponse:
    """Open ones first, those due soonest on top; everybody may read, reviewers may review."""
    user = cast(AbstractUser, request.user)
    ordered = break_glasses().order_by(F("closed_at").desc(nulls_first=True), "due_at")
    page = Paginator(ordered, REVIEWS_PAGE).get_page(request.GET.get("page"))
    may_review, now = user.has_perm(REVIEW), timezone.now()
    cases = []
    for found in page:
        mine = found.decision.user_id == user.pk
        has_reviewed = any(review.reviewer_id == user.pk for review in found.reviews.all())
        cases.append(
            {
                "found": found,
                "reviews": list(found.reviews.all()),
                "missing": max(0, found.reviews_needed - len(found.reviews.all())),
                "overdue": found.closed_at is None and found.due_at <= now,
                "mine": mine,
                "can_review": may_review and not mine and not has_reviewed,
            }
        )
    return render(
        request,
        "approvals/reviews.html",
        {
            "nav": "approvals",
            "page": page,
            "cases": cases,
            "overdue": break_glass_overdue().count(),
            "may_review": may_review,
        },
    )
