"""The steps around a passage: a procedure is worked from its first step, in order."""

import re
from collections.abc import Collection
from typing import Any

from rag.answers.lookup import hit_of
from rag.models import Kind, Passage
from rag.retrieval.search import Hit

PROCEDURES = {Kind.SOP.value, Kind.MOP.value, Kind.EOP.value}

_WHAT_TO_DO = re.compile(
    r"\bwhat\s+(?:(?:do|should|must|shall|can)\s+(?:i|we|you|the\s+\w+)\s+do|to\s+do|now|next)\b"
    r"|\bwhat\s+(?:are|is)\s+(?:the|all)\s+(?:the\s+)?(?:steps?|procedure)\b(?!\s+\d)"
    r"|\b(?:show|list|give)\s+(?:me\s+)?(?:the\s+|all\s+)*(?:steps|procedure)\b"
    r"|\bhow\s+(?:do|should|must)\s+(?:i|we)\s+(?:react|respond|proceed)\b"
    r"|^\s*(?:which|what)\s+procedure\b",
    re.IGNORECASE,
)


def asks_what_to_do(question: str) -> bool:
    """Whether the question asks for a procedure as a whole (`what do I do when …`)."""
    return bool(_WHAT_TO_DO.search(question))


def steps_of(hit: Hit) -> list[Passage]:
    """The passages of the numbered steps of the hit's revision, in order. One query."""
    of_revision = Passage.objects.filter(revision__passages__pk=hit.passage_id)
    return list(
        of_revision.filter(step__isnull=False)
        .select_related("revision__document__collection")
        .defer("tsv")
        .order_by("ordinal")
    )


def first_step(hit: Hit) -> Hit:
    """The first step of the procedure that the hit belongs to; the hit itself where none is."""
    steps = steps_of(hit) if hit.kind in PROCEDURES else []
    return hit_of(steps[0], score=hit.score) if steps else hit


def outline(hit: Hit, shown: Collection[int] = ()) -> dict[str, Any] | None:
    """All steps of the hit's procedure as links, with the hit's own as `current`; None for
    documents that are no procedures. `shown` are the numbers of the steps that the answer quotes.
    """
    if hit.kind not in PROCEDURES:
        return None
    base = hit.url.split("#")[0]
    steps: dict[int, dict[str, Any]] = {}
    for passage in steps_of(hit):
        number = passage.step or 0
        entry = {
            "n": number,
            "title": passage.section_path[-1] if passage.section_path else f"Step {number}",
            "url": f"{base}#{passage.anchor}",
            "shown": number in shown or number == hit.step,
        }
        steps.setdefault(number, entry)
    if not steps:
        return None
    return {
        "title": hit.title,
        "document": hit.document,
        "url": base,
        "revision": hit.revision,
        "current": hit.step,
        "steps": list(steps.values()),
    }
