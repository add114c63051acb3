"""Searching and exporting one's own conversations."""

import json
import re
from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.search import SearchHeadline, SearchQuery, SearchRank
from django.db.models import Count, F, Max, Q, QuerySet
from django.utils import timezone

from rag.chat.sessions import closed_to, messages_shown
from rag.models import ChatMessage, ChatSession

MAX_QUERY_CHARS = 200
SNIPPETS = 2
_MARKS = re.compile(r"\*\*|`|(?:^|\s)>(?=\s|$)|\s\[\d{1,2}\]")
_START, _STOP = "\x02", "\x03"


@dataclass(frozen=True)
class Snippet:
    """A piece of a message: its role, and its text in parts, each with whether it was searched."""

    role: str
    parts: tuple[tuple[str, bool], ...]


def own_sessions(*, user: Any, search: str = "") -> QuerySet[ChatSession]:
    """The user's conversations, newest first, with `questions` and `asked_at`; with `search` only
    those whose title or messages contain the words (websearch syntax)."""
    found = ChatSession.objects.filter(user=user, deleted_at__isnull=True)
    query = cleaned(search)
    if query:
        hits = _hits(user, query).values("session")
        found = found.filter(Q(pk__in=hits) | Q(title__icontains=query))
    return found.annotate(
        questions=Count("messages", filter=Q(messages__role=ChatMessage.Role.USER)),
        asked_at=Max("messages__created_at"),
    ).order_by("-updated_at", "-pk")


def snippets(*, user: Any, sessions: list[ChatSession], search: str) -> dict[int, list[Snippet]]:
    """Where the words stand in these conversations, best first. Two or three queries."""
    query = cleaned(search)
    if not query or not sessions:
        return {}
    wanted = SearchQuery(query, search_type="websearch", config="english")
    rows = (
        _hits(user, query)
        .filter(session__in=[session.pk for session in sessions])
        .annotate(
            rank=SearchRank(F("tsv"), wanted),
            headline=SearchHeadline(
                "text",
                wanted,
                config="english",
                start_sel=_START,
                stop_sel=_STOP,
                max_words=26,
                min_words=12,
                max_fragments=1,
            ),
        )
        .order_by("-rank", "-id")
        .values_list("session", "role", "headline")[:200]
    )
    found: dict[int, list[Snippet]] = {}
    for session, role, headline in rows:
        kept = found.setdefault(session, [])
        if len(kept) < SNIPPETS:
            kept.append(Snippet(role, _parts(headline)))
    return found


def cleaned(search: str) -> str:
    """A search text without control characters, at most 200 characters."""
    return "".join(c if c.isprintable() else " " for c in search).strip()[:MAX_QUERY_CHARS]


def _hits(user: Any, query: str) -> QuerySet[ChatMessage]:
    """Own messages that contain the words and quote nothing that is closed to the user."""
    own = ChatMessage.objects.filter(session__user=user, session__deleted_at__isnull=True)
    quoted = {slug for slugs in own.exclude(documents=[]).values_list("documents", flat=True).distinct()
              for slug in slugs}  # fmt: skip
    closed = closed_to(user=user, documents=quoted)
    found = own.filter(tsv=SearchQuery(query, search_type="websearch", config="english"))
    return found.exclude(documents__overlap=sorted(closed)) if closed else found


def _parts(headline: str) -> tuple[tuple[str, bool], ...]:
    parts: list[tuple[str, bool]] = []
    headline = _MARKS.sub(" ", headline)
    for number, piece in enumerate(headline.split(_START)):
        if number == 0:
            parts.append((piece, False))
            continue
        hit, _, rest = piece.partition(_STOP)
        parts += [(hit, True), (rest, False)]
    return tuple((text, hit) for text, hit in parts if text)


def export_json(*, session: ChatSession, user: Any) -> str:
    """A conversation as JSON: messages, citations, revisions and tool results as shown now."""
    body = {
        "title": session.title,
        "created_at": session.created_at.isoformat(),
        "exported_at": timezone.now().isoformat(),
        "messages": messages_shown(session=session, user=user),
    }
    return json.dumps(body, ensure_ascii=False, indent=2)


def export_markdown(*, session: ChatSession, user: Any) -> str:
    """A conversation as Markdown, each answer with its sources and their revisions."""
    lines = [f"# {session.title}", "", f"Exported {timezone.now():%Y-%m-%d %H:%M} UTC", ""]
    for message in messages_shown(session=session, user=user):
        at = message["created_at"][:16].replace("T", " ")
        if message["role"] == ChatMessage.Role.USER:
            lines += [f"## {message['text']}", "", f"*{at} UTC*", ""]
            continue
        if message["asked_as"]:
            lines += [f"*Understood as: {message['asked_as']}*", ""]
        lines += [f"> **{note['text']}**" for note in message["notes"]]
        found = [line for tool in message["tools"] for line in _tool_lines(tool["result"])]
        said = [message["text"], ""]
        lines += said + found if message["mode"] == "tool" else found + said
        if message["citations"]:
            lines += ["Sources:", "", *(_source(item) for item in message["citations"]), ""]
        if message["degraded"]:
            lines += [f"*{message['degraded']}*", ""]
    return "\n".join(lines).rstrip() + "\n"


def _source(citation: dict[str, Any]) -> str:
    place = [
        citation.get("section") or "",
        f"page {citation['page']}" if citation.get("page") else "",
    ]
    if citation.get("revision"):
        since = citation.get("effective_from")
        place.append(
            f"revision {citation['revision']}" + (f", in force since {since}" if since else "")
        )
    where = ", ".join(part for part in place if part)
    return f"- [{citation['n']}] {citation['title']}{', ' if where else ''}{where}: “{_line(citation['quote'])}”"


def _tool_lines(result: dict[str, Any]) -> list[str]:
    table = result.get("table")
    at = str(result.get("at", ""))[:19].replace("T", " ")
    lines = [
        f"*{result.get('title', 'Tool')}, {at} UTC, quality {result.get('quality') or 'not told'}*",
        "",
    ]
    if table:
        lines += [
            "| " + " | ".join(map(_cell, table["columns"])) + " |",
            "|" + " --- |" * len(table["columns"]),
        ]
        lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in table["rows"]]
        lines.append("")
    return lines


def _cell(cell: Any) -> str:
    text = str(cell["text"] if isinstance(cell, dict) else cell)
    return _line(text).replace("|", "\\|")


def _line(text: str) -> str:
    return " ".join(text.split())
