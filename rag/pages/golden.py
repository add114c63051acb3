"""Golden questions of the database: list, edit, retire."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from rag.access import Reader
from rag.evaluation.golden import GoldenInvalid
from rag.evaluation.questions import golden_question_save, questions_list, targets_of_lines
from rag.models import GoldenQuestion

PAGE_SIZE = 50


@require_GET
@login_required
def golden_list(request: HttpRequest) -> HttpResponse:
    """Questions by text and state, with what answers them as this person may see it."""
    reader = Reader.of(request.user)
    text = request.GET.get("q", "").replace("\0", "").strip()[:200]
    state = request.GET.get("state", "active")
    found = GoldenQuestion.objects.select_related("created_by", "message")
    if text:
        found = found.filter(query__icontains=text)
    if state in ("active", "retired"):
        found = found.filter(is_active=state == "active")
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context: dict[str, Any] = {
        "nav": "evaluation",
        "page": page,
        "questions": questions_list(list(page.object_list), reader),
        "text": text,
        "state": state,
        "states": (("active", "Active"), ("retired", "Retired"), ("all", "All")),
    }
    return render(request, "rag/golden.html", context)


@require_POST
@login_required
@permission_required("rag.change_goldenquestion", raise_exception=True)
def golden_change(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a question, or retire it or take it back."""
    question = get_object_or_404(GoldenQuestion, pk=pk)
    action = request.POST.get("action", "save")
    if action in ("retire", "restore"):
        question.is_active = action == "restore"
        question.save(update_fields=["is_active"])
        word = "measured again" if question.is_active else "retired"
        messages.success(request, f"Golden question {question.pk} is {word}.")
        return redirect("rag:golden")
    try:
        golden_question_save(
            question=question,
            query=request.POST.get("query", ""),
            relevant=targets_of_lines(request.POST.get("relevant", "")),
            key_facts=request.POST.get("key_facts", "").splitlines(),
            is_answerable=request.POST.get("answerable") != "no",
            is_active=question.is_active,
            reader=Reader.of(request.user),
            user=request.user,
        )
    except GoldenInvalid as error:
        messages.error(request, f"Golden question {question.pk} is unchanged. {error}")
    else:
        messages.success(request, f"Golden question {question.pk} is saved.")
    return redirect("rag:golden")
