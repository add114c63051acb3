"""Documents, steps and revisions that a question names outright: `step 4 of EOP-CRAC-01`.

What is named is read from the database and not searched for, so that it is exactly that.
"""

import datetime as dt
import re
from dataclasses import dataclass, field

from django.utils import timezone

from rag.access import Reader, readable
from rag.codes import codes, normalise, tag_candidates
from rag.models import Document, Passage, Revision
from rag.retrieval.search import Hit

MAX_NAMED = 3
_ORDINALS = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
]
_STEP = re.compile(
    rf"\bstep\s+(?:no\.?\s*|number\s+|#\s*)?(?P<n>\d{{1,3}})\b"
    rf"|\b(?P<nth>\d{{1,2}})(?:st|nd|rd|th)\s+step\b|\b(?P<word>{'|'.join(_ORDINALS)}|last)\s+step\b",
    re.IGNORECASE,
)
_NAME = re.compile(r"\b(?:[A-Za-z0-9]+(?:-[A-Za-z0-9]+)+|[A-Z][a-z0-9]+(?:[A-Z][A-Za-z0-9]*)+)\b")
_REVISION = re.compile(r"\brev(?:ision|\.)?\s*(?P<n>\d{1,3})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Named:
    """What a question names. `step` is the number asked for, `hits` its passages (none when the
    document has no such step); `revision` and `at` are set for a revision that is not in force."""

    slugs: tuple[str, ...] = ()
    step: int | None = None
    revision: int | None = None
    at: dt.datetime | None = None
    hits: tuple[Hit, ...] = field(default=(), repr=False)
    steps: tuple[int, ...] = ()
    revision_ids: tuple[int, ...] = ()

    @property
    def is_precise(self) -> bool:
        """Whether exactly one step of one document was asked for and found."""
        return bool(self.hits)

    @property
    def missing_step(self) -> bool:
        """Whether a step was asked for that the one named document does not have."""
        return self.step is not None and len(self.slugs) == 1 and not self.hits


def asked_step(question: str) -> int | None:
    """The step number that the question names; -1 for the last."""
    match = _STEP.search(question)
    if match is None:
        return None
    if word := match["word"]:
        return -1 if word.lower() == "last" else _ORDINALS.index(word.lower()) + 1
    return int(match["n"] or match["nth"])


def named_documents(*, question: str, reader: Reader, at: dt.datetime | None = None) -> Named:
    """The readable documents whose number or title the question contains, at most three.

    Two queries at most without a step; none where the question has no identifier.
    """
    found = _documents(question, reader)
    if not found:
        return Named()
    when, number = at, None
    if (match := _REVISION.search(question)) and at is None and len(found) == 1:
        number = int(match["n"])
        revision = Revision.objects.filter(
            document=found[0], number=number, state="ready", effective_from__lte=timezone.now()
        ).first()
        if revision is not None and not revision.is_in_force:
            when = revision.effective_from
    in_force = Revision.objects.in_force(when).filter(document__in=found)
    revisions = tuple(in_force.values_list("pk", flat=True))
    slugs = tuple(document.slug for document in found)
    past = when if at is None else None
    step = asked_step(question)
    if step is None or len(found) != 1:
        return Named(slugs, None, number, past, (), (), revisions)
    passages = list(
        Passage.objects.filter(revision__in=revisions, step__isnull=False)
        .select_related("revision__document__collection")
        .defer("tsv")
        .order_by("ordinal")
    )
    steps = tuple(dict.fromkeys(passage.step or 0 for passage in passages))
    if step == -1 and steps:
        step = steps[-1]
    hits = tuple(hit_of(passage) for passage in passages if passage.step == step)
    return Named(slugs, step, number, past, hits, steps, revisions)


def _documents(question: str, reader: Reader) -> list[Document]:
    """By number (`EOP-CRAC-01`, `eop-crac-1`), name with hyphens, or CamelCase name of an alert."""
    asked = set(codes(question))
    spellings = {candidate.lower() for candidate in tag_candidates(question)}
    names = {match.lower() for match in _NAME.findall(question)}
    if not spellings | asked | names:
        return []
    rows = Document.objects.filter(
        readable(reader, "collection"), slug__in=spellings | asked | names
    )
    exact = [row for row in rows if normalise(row.slug) in asked or row.slug in names]
    return sorted(exact, key=lambda row: row.slug)[:MAX_NAMED]


def passages_of(named: Named) -> list[Hit]:
    """All passages of the named documents in reading order, without the search."""
    rows = (
        Passage.objects.filter(revision__in=named.revision_ids)
        .select_related("revision__document__collection")
        .defer("tsv")
        .order_by("revision", "ordinal")[:60]
    )
    return [hit_of(passage) for passage in rows]


def hit_of(passage: Passage, *, score: float = 0.0) -> Hit:
    """A passage that was looked up as a hit; it has no ranks."""
    revision, document = passage.revision, passage.revision.document
    return Hit(
        passage_id=passage.pk,
        document=document.slug,
        title=document.title,
        kind=document.kind,
        section=passage.section,
        step=passage.step,
        page=passage.page,
        text=passage.text,
        score=score,
        vector_rank=None,
        text_rank=None,
        url=passage.get_absolute_url(),
        ordinal=passage.ordinal,
        revision=revision.number,
        collection=document.collection.slug,
    )
