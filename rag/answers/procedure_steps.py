"""The steps around a passage: a procedure is worked from its first step, in order."""

import re
from dataclasses import replace
from typing import Any

from rag.models import Kind, Passage
from rag.retrieval.search import Hit

PROCEDURES = {Kind.SOP.value, Kind.MOP.value, Kind.EOP.value}

_WHAT_TO_DO = re.compile(
    r"\bwhat\s+(?:(?:do|should|must|shall|can)\s+(?:i|we|you|the\s+\w+)\s+do|to\s+do)\b",
    re.IGNORECASE,
)


def asks_what_to_do(question: str) -> bool:
    """Whether the question asks for a procedure as a whole (`what do I do when …`)."""
    return bool(_WHAT_TO_DO.search(question))


def _steps(hit: Hit) -> list[Passage]:
    of_revision = Passage.objects.filter(revision__passages__pk=hit.passage_id)
    return list(of_revision.filter(step__isnull=False).defer("tsv").order_by("ordinal"))


def first_step(hit: Hit) -> Hit:
    """The first step of the procedure that the hit belongs to; the hit itself where none is."""
    steps = _steps(hit) if hit.kind in PROCEDURES else []
    if not steps:
        return hit
    step = steps[0]
    return replace(
        hit,
        passage_id=step.pk,
        ordinal=step.ordinal,
        section=step.section,
        step=step.step,
        page=step.page,
        text=step.text,
        url=f"{hit.url.split('#')[0]}#{step.anchor}",
    )


def outline(hit: Hit) -> dict[str, Any] | None:
    """All steps of the hit's procedure as links, with the hit's own as `current`; None for
    documents that are no procedures."""
    if hit.kind not in PROCEDURES:
        return None
    base = hit.url.split("#")[0]
    steps: dict[int, dict[str, Any]] = {}
    for passage in _steps(hit):
        number = passage.step or 0
        entry = {"n": number, "title": passage.section_path[-1], "url": f"{base}#{passage.anchor}"}
        steps.setdefault(number, entry)
    if not steps:
        return None
    return {
        "title": hit.title,
        "url": base,
        "revision": hit.revision,
        "current": hit.step,
        "steps": list(steps.values()),
    }
