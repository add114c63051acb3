"""The chat's page. Signed-in users only."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from rag.answers.answering import MAX_QUESTION_CHARS
from rag.chat.sessions import messages_shown, session_get
from rag.models import ChatSession, Feedback
from rag.selectors import chat_sessions

EXAMPLE_QUESTIONS = [
    "What do I do when a CRAC fails?",
    "Which alarms are open?",
    "What is the hottest rack right now?",
    "What happens if CRAC-2 fails?",
    "What feeds rack-1-03?",
    "How has the power of rack-1-03 changed in the last 2 hours?",
]
SHOWN_AT_ONCE = 200


@require_GET
@login_required
def chat(request: HttpRequest) -> HttpResponse:
    """The chat with its history; `?session=` opens an earlier conversation, `?ask=` puts a
    question into the box."""
    session = None
    wanted = request.GET.get("session", "")
    if wanted:
        session = (
            session_get(user=request.user, session_id=int(wanted))
            if wanted.isdecimal() and len(wanted) < 19
            else None
        )
        if session is None:
            raise Http404("You have no such conversation.")
    context = {
        "nav": "chat",
        "session": session,
        "sessions": chat_sessions(user=request.user),
        "chat_data": {
            "session": session.pk if session else None,
            "messages": _messages(session, request.user) if session else [],
            "reasons": [list(choice) for choice in Feedback.Reason.choices],
        },
        "examples": EXAMPLE_QUESTIONS,
        "max_chars": MAX_QUESTION_CHARS,
        "asking": request.GET.get("ask", "")[:MAX_QUESTION_CHARS],
    }
    return render(request, "rag/chat.html", context)


def _messages(session: ChatSession, user: Any) -> list[dict[str, Any]]:
    """The messages with the user's own judgement of each."""
    shown = messages_shown(session=session, user=user, last=SHOWN_AT_ONCE)
    given = {
        row.message_id: {"is_good": row.is_good, "reason": row.reason, "comment": row.comment,
                         "correction": row.correction}
        for row in Feedback.objects.filter(user=user, message__session=session)
    }  # fmt: skip
    return [{**row, "feedback": given.get(row["id"])} for row in shown]
