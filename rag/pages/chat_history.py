"""Own conversations: list and search. Nobody sees another's."""

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from rag.chat.history import cleaned, own_sessions, snippets

PAGE_SIZE = 30


@require_GET
@login_required
def history(request: HttpRequest) -> HttpResponse:
    """Conversations, newest first; `?q=` searches questions and answers."""
    query = cleaned(request.GET.get("q", ""))
    page = Paginator(own_sessions(user=request.user, search=query), PAGE_SIZE).get_page(
        request.GET.get("page")
    )
    rows = list(page.object_list)
    where = snippets(user=request.user, sessions=rows, search=query)
    context = {
        "nav": "chat",
        "query": query,
        "page": page,
        "rows": [(row, where.get(row.pk, [])) for row in rows],
    }
    return render(request, "rag/chat_history.html", context)
