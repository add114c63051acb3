"""Conversations: who asked what, and what was answered with which citations."""

from collections.abc import AsyncIterator
from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from rag.answers.answering import Event, answer_events
from rag.models import ChatMessage, ChatSession

TITLE_CHARS = 80


def session_get(*, user: Any, session_id: int) -> ChatSession | None:
    """The user's own session of that id; another's is as absent as an unknown one."""
    return ChatSession.objects.filter(pk=session_id, user=user).first()


def question_store(*, user: Any, question: str, session: ChatSession | None) -> ChatSession:
    """Keep a question, in a new session when none is given. Returns the session."""
    with transaction.atomic():
        if session is None:
            title = question if len(question) <= TITLE_CHARS else question[: TITLE_CHARS - 1] + "…"
            session = ChatSession.objects.create(user=user, title=title)
        ChatMessage.objects.create(session=session, role=ChatMessage.Role.USER, text=question)
        ChatSession.objects.filter(pk=session.pk).update(updated_at=timezone.now())
    return session


def answer_store(*, session: ChatSession, event: Event) -> ChatMessage:
    """Keep an answer as it was shown."""
    return ChatMessage.objects.create(
        session=session,
        role=ChatMessage.Role.ASSISTANT,
        text=event["answer"],
        mode=event["mode"],
        citations=event["citations"],
        procedure=event["procedure"],
        grounded=event["grounded"],
        degraded=event["degraded"][:300],
    )


async def conversation_events(
    *, user: Any, question: str, session: ChatSession | None
) -> AsyncIterator[Event]:
    """Answer within a session: the first event names it, question and answer are kept."""
    session = await sync_to_async(question_store)(user=user, question=question, session=session)
    yield {"type": "session", "session": session.pk, "title": session.title}
    events = answer_events(question=question, user=user)
    try:
        async for event in events:
            if event["type"] == "answer":
                await sync_to_async(answer_store)(session=session, event=event)
            yield event
    finally:
        await events.aclose()  # type: ignore[attr-defined]
