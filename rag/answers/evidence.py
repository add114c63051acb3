"""What an answer may be made of: passages in force at the time asked about, and live readings."""

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from django.utils import timezone

from rag.access import OPEN_ONLY, Reader
from rag.answers.answerable import ANSWERABLE, NEAR, answerable
from rag.answers.dates import AskedTime, asked_time
from rag.answers.live_facts import LiveFacts, live_facts
from rag.answers.lookup import Named, named_documents, passages_of
from rag.models import Passage
from rag.retrieval.search import Hit, SearchResult, search

logger = logging.getLogger(__name__)

# Kinds whose slug is the number that people know them by.
_NUMBERED = {"sop", "mop", "eop"}

PASSAGES_FOUND = 8
PASSAGES_SHOWN = 5
PASSAGES_IN_PROMPT = 3


@dataclass(frozen=True)
class RevisionInfo:
    """The revision that a passage belongs to, as citations and notes state it."""

    document: str
    title: str
    kind: str
    number: int
    effective_from: dt.datetime
    superseded_at: dt.datetime | None
    review_due: dt.date | None
    approver: str
    url: str
    flags: tuple[dict[str, Any], ...] = ()

    @property
    def is_in_force(self) -> bool:
        """Whether answers about now may use it."""
        now = timezone.now()
        return self.effective_from <= now and (
            self.superseded_at is None or self.superseded_at > now
        )

    @property
    def is_review_overdue(self) -> bool:
        """Whether its review date has passed."""
        return self.review_due is not None and self.review_due < timezone.now().date()

    @property
    def label(self) -> str:
        """`EOP-CRAC-01 rev. 3, in force since 2026-03-01`."""
        is_numbered = self.kind in _NUMBERED and len(self.document) <= 24
        name = self.document.upper() if is_numbered else self.title
        since = f"{self.effective_from:%Y-%m-%d}"
        if self.is_in_force:
            return f"{name} rev. {self.number}, in force since {since}"
        until = f" until {self.superseded_at:%Y-%m-%d}" if self.superseded_at else ""
        return f"{name} rev. {self.number}, in force from {since}{until}"


@dataclass(frozen=True)
class Evidence:
    """What was found for a question. `result.hits` are best first; `live` is None without a tag.

    `asked` is the question as it stands alone; `time` is set when it asks about the past; `named`
    are the documents that it names, with the step or revision asked for.
    """

    result: SearchResult
    live: LiveFacts | None
    asked: str = ""
    reader: Reader = OPEN_ONLY
    time: AskedTime | None = None
    named: Named = field(default_factory=lambda: Named())
    revisions: dict[int, RevisionInfo] = field(default_factory=dict)
    flagged: frozenset[int] = frozenset()

    @property
    def hits(self) -> list[Hit]:
        """The passages that may be shown, best first."""
        return self.result.hits[:PASSAGES_SHOWN]

    @property
    def prompt_hits(self) -> list[Hit]:
        """The passages for the prompt in a stable order, so that kvserve can share their KV
        blocks between questions. Flagged passages are never put before the model."""
        best = [hit for hit in self.hits if hit.passage_id not in self.flagged]
        return sorted(best[:PASSAGES_IN_PROMPT], key=lambda hit: (hit.document, hit.ordinal))

    @property
    def at(self) -> dt.datetime | None:
        """The past time asked about, or None for now."""
        return self.time.at if self.time else None

    @property
    def is_sufficient(self) -> bool:
        """Whether retrieval alone allows an answer; the answer-level checks come after it."""
        return self.live is not None or self.named.is_precise or self.is_confident

    @cached_property
    def answerable(self) -> float:
        """How sure it is that the passages answer the question, 0…1."""
        return answerable(self.asked, self.result)

    @property
    def is_confident(self) -> bool:
        """Whether the passages are close enough to the question to answer it. Without vectors
        retrieval's own confidence decides alone."""
        if self.result.query_vector is None:
            return self.result.is_confident
        return self.answerable >= ANSWERABLE

    @property
    def may_stand_beside(self) -> bool:
        """Whether an answer may follow a tool's: by the learned probability only, for a reading is
        there already; without vectors it is not known."""
        return self.result.query_vector is not None and self.answerable >= ANSWERABLE

    @property
    def is_near(self) -> bool:
        """Whether they are close enough to be shown as the closest text where they do not answer."""
        has_vector = self.result.query_vector is not None
        return has_vector and bool(self.hits) and self.answerable >= NEAR


def gather(
    *,
    question: str,
    collection: str | None = None,
    reader: Reader = OPEN_ONLY,
    at: dt.datetime | None = None,
    live: LiveFacts | None = None,
    with_live: bool = True,
) -> Evidence:
    """Passages and live readings for a question that stands alone.

    `live` replaces the readings of named assets, where a tool has already fetched facts.
    """
    asked = asked_time(question, now=timezone.now())
    if at is not None:
        asked = AskedTime(at, "", question)
    text = asked.question if asked else question
    when = asked.at if asked else None
    named = named_documents(question=text, reader=reader, at=when)
    if named.at is not None and asked is None:
        asked, when = AskedTime(named.at, f"revision {named.revision}", text), named.at
    result = search(query=text, k=PASSAGES_FOUND, collection=collection, reader=reader, at=when)
    result = replace(result, hits=_named_first(result.hits, named))
    revisions, flagged = describe(result.hits)
    if live is None and with_live and asked is None:
        live = live_facts(question=question)
    return Evidence(result, live, text, reader, asked, named, revisions, flagged)


def _named_first(hits: list[Hit], named: Named) -> list[Hit]:
    """The step that was asked for, then hits of the named documents, then the others.

    A named document whose passages the search missed is read itself.
    """
    if not named.slugs:
        return hits
    first = list(named.hits)
    first += [hit for hit in hits if hit.document in named.slugs]
    if not first:
        first = passages_of(named)[:PASSAGES_SHOWN]
    ordered = first + [hit for hit in hits if hit.document not in named.slugs]
    unique = {hit.passage_id: hit for hit in reversed(ordered)}
    return [unique[key] for key in dict.fromkeys(hit.passage_id for hit in ordered)]


def describe(hits: Sequence[Hit]) -> tuple[dict[int, RevisionInfo], frozenset[int]]:
    """The revision of each passage, and the passages flagged at import. One query."""
    rows = (
        Passage.objects.filter(pk__in=[hit.passage_id for hit in hits])
        .select_related("revision__document")
        .defer("tsv", "text", "context")
    )
    revisions: dict[int, RevisionInfo] = {}
    flagged: set[int] = set()
    for passage in rows:
        revision, document = passage.revision, passage.revision.document
        ends = [end for end in (revision.superseded_at, document.withdrawn_at) if end]
        revisions[passage.pk] = RevisionInfo(
            document.slug,
            document.title,
            document.kind,
            revision.number,
            revision.effective_from,
            min(ends, default=None),
            revision.review_due,
            revision.approver,
            document.get_absolute_url(),
            tuple(revision.flags or ()),
        )
        if passage.flags:
            flagged.add(passage.pk)
    return revisions, frozenset(flagged)
