"""The chat's page. Signed-in users only."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from rag.answers.answering import MAX_QUESTION_CHARS
from rag.chat.sessions import session_get
from rag.selectors import chat_sessions

EXAMPLE_QUESTIONS = [
    "What do I do when a CRAC fails?",
    "What is the supply temperature of CRAC 1?",
    "How long does the UPS battery last at full load?",
    "How do I start the standby CRAC?",
    "How quickly does the generator start?",
    "When does an air filter have to be replaced?",
]


@require_GET
@login_required
def chat(request: HttpRequest) -> HttpResponse:
    """The chat with its history; `?session=` opens an earlier conversation."""
    session = None
    wanted = request.GET.get("session", "")
    if wanted:
        session = (
            session_get(user=request.user, session_id=int(wanted)) if wanted.isdigit() else None
        )
        if session is None:
            raise Http404("You have no such conversation.")
    history = [
        {
            "role": message.role,
            "text": message.text,
            "mode": message.mode,
            "citations": message.citations,
            "procedure": message.procedure,
            "degraded": message.degraded,
        }
        for message in (session.messages.order_by("id") if session else [])
    ]
    context = {
        "nav": "chat",
        "session": session,
        "sessions": chat_sessions(user=request.user),
        "chat_data": {"session": session.pk if session else None, "messages": history},
        "examples": EXAMPLE_QUESTIONS,
        "max_chars": MAX_QUESTION_CHARS,
    }
    return render(request, "rag/chat.html", context)
