"""Conversations: who asked what, and what was answered with which citations.

A conversation is its user's alone. What quotes a document that its user may no longer read is not
shown again (`message_shown`), not searched, and not told to the model as history.
"""

import time
from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from rag.access import Reader, readable
from rag.answers.answering import Event, answer_events
from rag.models import ChatMessage, ChatSession, Document

TITLE_CHARS = 80
HISTORY_MESSAGES = 8
KEPT_AFTER_DELETION = timedelta(minutes=10)
CLOSED = "This answer quoted a document that is no longer open to you."
#: Fields of the answer event that have a column of their own.
_COLUMNS = ("mode", "citations", "procedure", "grounded", "dropped", "asked_as", "tools", "llm")
#: Fields of the answer event that are kept together in `details`.
_DETAILS = ("revisions", "notes", "candidates", "at", "timing", "replaced")


def session_get(*, user: Any, session_id: int) -> ChatSession | None:
    """The user's own session of that id; another's is as absent as an unknown or deleted one."""
    if not 0 < session_id < 2**63:
        return None
    return ChatSession.objects.filter(pk=session_id, user=user, deleted_at__isnull=True).first()


def session_rename(*, session: ChatSession, title: str) -> ChatSession:
    """Give a conversation another title, of 1 to 120 characters. Raises ValueError."""
    cleaned = " ".join(title.replace("\x00", " ").split())
    if not 1 <= len(cleaned) <= 120:
        raise ValueError(f"A title has 1 to 120 characters, not {len(cleaned)}.")
    ChatSession.objects.filter(pk=session.pk).update(title=cleaned)
    session.title = cleaned
    return session


def session_delete(*, session: ChatSession) -> None:
    """Take a conversation out of sight; `session_restore` brings it back until it is purged."""
    ChatSession.objects.filter(pk=session.pk).update(deleted_at=timezone.now())


def session_restore(*, user: Any, session_id: int) -> ChatSession | None:
    """Undo a deletion, while the conversation has not been purged."""
    if not 0 < session_id < 2**63:
        return None
    found = ChatSession.objects.filter(pk=session_id, user=user, deleted_at__isnull=False)
    if not found.update(deleted_at=None):
        return None
    return session_get(user=user, session_id=session_id)


def sessions_purge(*, now: datetime | None = None) -> int:
    """Delete for good what was deleted more than ten minutes ago. Returns how many."""
    before = (now or timezone.now()) - KEPT_AFTER_DELETION
    gone = ChatSession.objects.filter(deleted_at__lt=before)
    count = gone.count()
    gone.delete()
    return count


def question_store(*, user: Any, question: str, session: ChatSession | None) -> ChatSession:
    """Keep a question, in a new session when none is given. Returns the session.

    A question that is asked again because its answer never came is kept once.
    """
    with transaction.atomic():
        if session is None:
            title = question if len(question) <= TITLE_CHARS else question[: TITLE_CHARS - 1] + "…"
            session = ChatSession.objects.create(user=user, title=title)
        last = ChatMessage.objects.filter(session=session).order_by("-id").first()
        if last is None or last.role != ChatMessage.Role.USER or last.text != question:
            ChatMessage.objects.create(session=session, role=ChatMessage.Role.USER, text=question)
        ChatSession.objects.filter(pk=session.pk).update(updated_at=timezone.now())
    return session


def answer_store(*, session: ChatSession, event: Event, duration_ms: int = 0) -> ChatMessage:
    """Keep an answer as it was shown, with what retrieval found and which tools ran."""
    kept = {name: event[name] for name in _COLUMNS if name in event}
    kept["asked_as"] = str(kept.get("asked_as") or "")[:1200]
    kept["llm"] = str(kept.get("llm") or "")[:200]
    message = ChatMessage.objects.create(
        session=session,
        role=ChatMessage.Role.ASSISTANT,
        text=event["answer"],
        degraded=event["degraded"][:300],
        passages=[hit["passage_id"] for hit in event["passages"]],
        details={name: event[name] for name in _DETAILS if event.get(name)},
        documents=documents_quoted(event),
        duration_ms=duration_ms,
        **kept,
    )
    ChatSession.objects.filter(pk=session.pk).update(updated_at=timezone.now())
    return message


def documents_quoted(event: Event) -> list[str]:
    """Slugs of every document that an answer quotes or names, by name."""
    named = [item.get("document") for item in event["citations"]]
    named += [item.get("document") for item in event.get("candidates") or ()]
    named.append((event.get("procedure") or {}).get("document"))
    for tool in event.get("tools") or ():
        named += tool["result"].get("documents") or ()
    if event.get("mode") == "none":
        named += [hit.get("document") for hit in event["passages"]]
    return sorted({str(slug)[:120] for slug in named if slug})


def closed_to(*, user: Any, documents: Iterable[str]) -> set[str]:
    """Those of the documents that the user may not read now; deleted ones too. Two queries."""
    slugs = set(documents)
    if not slugs:
        return set()
    open_now = Document.objects.filter(readable(Reader.of(user), "collection"), slug__in=slugs)
    return slugs - set(open_now.values_list("slug", flat=True))


def message_shown(message: ChatMessage, *, closed: set[str]) -> dict[str, Any]:
    """A stored message as pages and the API show it; what is closed to the user is left out."""
    base = {"id": message.pk, "role": message.role, "created_at": message.created_at.isoformat()}
    if set(message.documents) & closed:
        return base | {
            "text": CLOSED, "mode": "closed", "citations": [], "procedure": None, "tools": [],
            "degraded": "", "dropped": 0, "asked_as": "", "grounded": False, "llm": "",
            "duration_ms": message.duration_ms, "revisions": [], "notes": [], "candidates": [],
        }  # fmt: skip
    details = message.details if isinstance(message.details, dict) else {}
    return base | {
        "text": message.text, "mode": message.mode, "citations": message.citations,
        "procedure": message.procedure, "tools": message.tools, "degraded": message.degraded,
        "dropped": message.dropped, "asked_as": message.asked_as, "grounded": message.grounded,
        "llm": message.llm, "duration_ms": message.duration_ms,
        "revisions": details.get("revisions", []), "notes": details.get("notes", []),
        "candidates": details.get("candidates", []), "replaced": details.get("replaced", 0),
        "at": details.get("at"),
    }  # fmt: skip


def messages_shown(*, session: ChatSession, user: Any, last: int = 0) -> list[dict[str, Any]]:
    """The messages of a session as they are shown to its user, oldest first. Three queries.

    `last` limits them to the newest ones.
    """
    found = session.messages.defer("tsv").order_by("-id")
    rows = list(found[:last] if last else found)[::-1]
    closed = closed_to(user=user, documents=(slug for row in rows for slug in row.documents))
    return [message_shown(row, closed=closed) for row in rows]


async def conversation_events(
    *, user: Any, question: str, session: ChatSession | None
) -> AsyncIterator[Event]:
    """Answer within a session: the first event names it, question and answer are kept.

    The `answer` event gains `message` and `session`, the ids that it is stored under.
    """
    history: list[dict[str, Any]] = []
    if session is not None:
        history = await sync_to_async(messages_shown)(
            session=session, user=user, last=HISTORY_MESSAGES
        )
    session = await sync_to_async(question_store)(user=user, question=question, session=session)
    yield {"type": "session", "session": session.pk, "title": session.title}
    began = time.monotonic()
    events = answer_events(
        question=question, user=user, history=[row for row in history if row["mode"] != "closed"]
    )
    try:
        async for event in events:
            if event["type"] == "answer":
                message = await sync_to_async(answer_store)(
                    session=session,
                    event=event,
                    duration_ms=round(1000 * (time.monotonic() - began)),
                )
                event = {**event, "message": message.pk, "session": session.pk}
            yield event
    finally:
        await events.aclose()  # type: ignore[attr-defined]
