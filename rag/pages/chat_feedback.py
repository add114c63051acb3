"""Feedback of all users, for those who look after the answers (permission `rag.review_feedback`)."""

from django.contrib.auth.decorators import login_required, permission_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from rag.chat.feedback import feedback_list, judged
from rag.models import Feedback

PAGE_SIZE = 20
WHICH = {"open": "Bad, not golden yet", "bad": "Bad", "good": "Good", "all": "All"}


@require_GET
@login_required
@permission_required("rag.review_feedback", raise_exception=True)
def feedback(request: HttpRequest) -> HttpResponse:
    """Judgements with question, answer and passages; what the reviewer may not read is left out."""
    which = request.GET.get("which", "open")
    which = which if which in WHICH else "open"
    reason = request.GET.get("reason", "")
    reason = reason if reason in Feedback.Reason.values else ""
    page = Paginator(feedback_list(which=which, reason=reason), PAGE_SIZE).get_page(
        request.GET.get("page")
    )
    context = {
        "nav": "chat",
        "which": which,
        "whichs": WHICH.items(),
        "reason": reason,
        "reasons": Feedback.Reason.choices,
        "page": page,
        "rows": judged(user=request.user, rows=list(page.object_list)),
    }
    return render(request, "rag/chat_feedback.html", context)
