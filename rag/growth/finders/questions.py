"""Questions that the documents did not answer."""

import hashlib
import re
from datetime import datetime, timedelta

from django.db.models import OuterRef, Subquery

from rag.growth.finders.found import Findings, Found
from rag.models import ChatMessage, Gap

# Older questions say little about what people need now (assumed).
LOOK_BACK = timedelta(days=90)
MOST = 2_000


def normalised(question: str) -> str:
    """The question without what two people write differently: case, punctuation, blanks."""
    return " ".join(re.findall(r"[\w°%]+(?:[.,/-][\w°%]+)*", question.casefold()))


def key_of(question: str) -> str:
    """What identifies a question."""
    return hashlib.sha256(normalised(question).encode()).hexdigest()[:40]


def find(*, now: datetime) -> Findings:
    """Stored answers that said "not in the documents", by question.

    Who asked is not recorded with a gap, only how many people did. One query.
    """
    asked = ChatMessage.objects.filter(
        session=OuterRef("session"), role=ChatMessage.Role.USER, pk__lt=OuterRef("pk")
    ).order_by("-pk")
    unanswered = (
        ChatMessage.objects.filter(
            role=ChatMessage.Role.ASSISTANT, mode="none", created_at__gt=now - LOOK_BACK
        )
        .annotate(question=Subquery(asked.values("text")[:1]))
        .order_by("-created_at")
        .values_list("question", "asked_as", "session__user", "created_at")[:MOST]
    )
    grouped: dict[str, list[tuple[str, int, datetime]]] = {}
    for question, asked_as, user, at in unanswered:
        text = (asked_as or question or "").strip()
        if normalised(text):
            grouped.setdefault(key_of(text), []).append((text, user, at))
    found = [
        Found(
            key=key,
            title=rows[0][0][:300],
            seen_at=rows[0][2],
            count=len(rows),
            detail={"question": rows[0][0][:1000], "people": len({user for _, user, _ in rows})},
        )
        for key, rows in grouped.items()
    ]
    return Findings(Gap.Kind.QUESTION, found, is_complete=False)
