"""Chat tool `documents`: which procedures and manuals there are, and which are due for review."""

import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from django.db.models import F, Q
from django.utils import timezone

from rag.access import Reader, readable
from rag.chat.asked import Asked, Match
from rag.chat.live import show
from rag.chat.tools import ChatTool, combines
from rag.models import Kind, Revision

DUE_WITHIN = timedelta(days=30)
_NOUN = (
    r"(?P<noun>procedures?|documents?|manuals?|sops?|mops?|eops?|runbooks?|notes?|outcome reports?)"
)
_LIST = re.compile(
    rf"^(?:please\s+)?(?:(?:which|what|list|show)(?:\s+me)?(?:\s+all)?(?:\s+(?:the|of the|our))?)\s+{_NOUN}"
    r"(?:\s+(?:do we have|have we|are there|exist|are in (?:the library|force)|is there|are available))?"
    r"(?:\s+(?:for|about|on|of|concerning)\s+(?P<about>.+?))?\s*[?.!]*$",
    re.IGNORECASE,
)
_REVIEW = re.compile(
    rf"\b{_NOUN}\b.*\b(?:due for review|review due|overdue|past (?:its|their) review|need(?:s)? (?:a )?review"
    r"|to be reviewed|review date)\b|\bwhen is .*\breview(?:ed)?\b.*\bdue\b|\bwhen is .*\bdue for (?:its )?review\b"
    r"|\breviews? (?:is|are) (?:over)?due\b",
    re.IGNORECASE,
)
_KINDS = {
    "procedure": ("sop", "mop", "eop"), "sop": ("sop",), "mop": ("mop",), "eop": ("eop",),
    "manual": ("manual",), "runbook": ("manual", "sop", "eop"), "note": ("note",),
    "outcome report": ("report",), "document": (),
}  # fmt: skip
_SLUG = re.compile(r"\b[A-Z]{2,5}-[A-Z0-9]+(?:-[A-Z0-9]+)*\b")


def score(asked: Asked) -> Match | None:
    """A list form of documents, or the review date of some; never what a document says."""
    if match := _REVIEW.search(asked.text):
        codes = [code.lower() for code in _SLUG.findall(asked.text)][:3]
        noun = match.groupdict().get("noun") or "document"
        return Match(5.0, {"what": "review", "about": " ".join(codes), "kinds": _kinds(noun)})
    if match := _LIST.match(" ".join(asked.text.split())):
        about = (match["about"] or "").strip()
        listed = bool(about) or re.search(r"\b(?:have|there|exist|list|show|available|force)\b",
                                          asked.text, re.IGNORECASE)  # fmt: skip
        if not listed or len(about.split()) > 6:
            return None
        return Match(4.5, {"what": "list", "about": about[:100], "kinds": _kinds(match["noun"])})
    return None


def _kinds(noun: str) -> list[str]:
    low = noun.lower()
    return list(_KINDS.get(low) or _KINDS.get(low.rstrip("s"), ()))


def run(user: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Documents in force that the user may read."""
    now = timezone.now()
    found = (
        Revision.objects.in_force()
        .filter(readable(Reader.of(user), "document__collection"))
        .select_related("document")
    )
    if arguments["kinds"]:
        found = found.filter(document__kind__in=arguments["kinds"])
    about = arguments["about"]
    for word in _words(about):
        found = found.filter(
            Q(document__title__icontains=word)
            | Q(document__slug__icontains=word)
            | Q(passages__context__icontains=word)
        )
    today = now.date()
    if arguments["what"] == "review":
        return _reviews(found.distinct(), about, today, now)
    rows = list(found.distinct().order_by("document__kind", "document__title")[:200])
    noun = "procedures" if set(arguments["kinds"]) == {"sop", "mop", "eop"} else "documents"
    what = f" about “{about}”" if about else ""
    text = f"{len(rows) or 'No'} {noun if len(rows) != 1 else noun[:-1]} in force{what}."
    return _slugs(rows) | show.result(
        text=text, title="Documents", url="/library/", at=now, facts=[text],
        table=show.table(["Title", "Kind", "Revision", "In force since", "Review due"],
                         [_row(revision, today) for revision in rows]), quality="good",
    )  # fmt: skip


def _slugs(rows: list[Revision]) -> dict[str, Any]:
    """The documents that the result names, so that it is not shown again where one is closed."""
    return {"documents": [row.document.slug for row in rows[: show.MAX_ROWS]]}


def _reviews(found: Any, about: str, today: date, now: Any) -> dict[str, Any]:
    if about:
        rows = list(found.order_by("document__title")[:50])
        said = [
            f"{row.document.title} (revision {row.number}) "
            + (
                f"is due for review on {row.review_due}."
                if row.review_due
                else "has no review date."
            )
            for row in rows
        ]
    else:
        rows = list(
            found.filter(review_due__lt=today + DUE_WITHIN).order_by(
                F("review_due"), "document__title"
            )[:200]
        )
        late = sum(row.review_due < today for row in rows)
        said = [f"{late or 'No'} document{'' if late == 1 else 's'} past the review date, "
                f"{len(rows) - late} due within {DUE_WITHIN.days} days."]  # fmt: skip
    text = " ".join(said[:3]) or f"No document in force is named “{about}”."
    return _slugs(rows) | show.result(
        text=text, title="Reviews", url="/library/", at=now, facts=said[:12], quality="good",
        table=show.table(["Title", "Kind", "Revision", "In force since", "Review due"],
                         [_row(revision, today) for revision in rows]),
    )  # fmt: skip


def _row(revision: Any, today: date) -> list[show.Cell]:
    due = revision.review_due
    shown: show.Cell = "–" if due is None else str(due)
    if due is not None and due < today:
        shown = {"text": f"{due}, overdue", "tone": "bad"}
    elif due is not None and due < today + DUE_WITHIN:
        shown = {"text": str(due), "tone": "warn"}
    document = revision.document
    return [
        show.link(document.title, document.get_absolute_url()),
        document.get_kind_display(),
        str(revision.number),
        f"{revision.effective_from:%Y-%m-%d}" if revision.effective_from else "–",
        shown,
    ]


_STOP_WORDS = "a an the of for about on our all failure failing in with and or"
_IGNORED = frozenset(_STOP_WORDS.split())


def _words(about: str) -> list[str]:
    words = re.findall(r"[\w-]+", about.lower())
    return [word.rstrip("s") if len(word) > 4 else word for word in words if word not in _IGNORED][
        :4
    ]


TOOL = ChatTool(
    name="documents",
    description="Looking into the library",
    permission="",
    score=score,
    run=run,
    combines=combines,
    purpose=("Which documents are in force (list), or due for review (review). Not what they say."),
    schema={
        "type": "object",
        "required": ["what", "about", "kinds"],
        "additionalProperties": False,
        "properties": {
            "what": {"enum": ["list", "review"]},
            "about": {"type": "string", "maxLength": 100},
            "kinds": {"type": "array", "items": {"enum": list(Kind.values)}, "maxItems": 6},
        },
    },
)
