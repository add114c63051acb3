"""Which procedure step, if any, instructs an action. No step, no proposal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from approvals.catalogue import Action, ActionKind

if TYPE_CHECKING:
    from rag.retrieval.search import Hit

# How binding a procedure is while an alarm is on: emergency before standard before maintenance
# (assumed).
KIND_WEIGHTS = {"eop": 1.0, "sop": 0.8, "mop": 0.6}
EXCERPT_CHARS = 420


class Passage(NamedTuple):
    """A passage of a procedure as the record keeps it."""

    passage_id: int
    document: str
    title: str
    kind: str
    revision: int
    section: str
    step: str
    text: str
    url: str
    score: float

    @classmethod
    def of(cls, hit: Hit) -> Passage:
        return cls(
            hit.passage_id,
            hit.document,
            hit.title,
            hit.kind,
            hit.revision,
            hit.section,
            str(hit.step or ""),
            hit.text,
            hit.url,
            round(hit.score, 4),
        )


class Support(NamedTuple):
    """Best instructing step for an action: score 0…1 and its citation; score 0 and None without
    one.
    """

    score: float
    citation: dict[str, Any] | None


def best_support(
    *,
    kind: ActionKind,
    action: Action,
    target_name: str,
    subject_words: tuple[str, ...],
    hits: Sequence[Passage],
) -> Support:
    """Pick the hit that is a numbered step, tells to do `kind`, and fits best.

    Score: 0.6 from the document's kind, 0.1 for its place in the results, 0.15 each for naming the
    target and the alarmed equipment; a step that is only for when another did not help counts 0.7
    of that, an emergency procedure for other equipment half where the action is for any equipment
    (weights assumed; the order matters, not the figure).
    """
    best = Support(0.0, None)
    for rank, hit in enumerate(hits):
        if hit.step in (None, "") or not kind.instructed_by(hit.section, action):
            continue
        low = f"{hit.title} {hit.section} {hit.text}".lower()
        names_target = action.target in low or target_name.lower() in low
        names_subject = any(word and word.lower() in low for word in subject_words)
        score = (
            0.6 * KIND_WEIGHTS.get(hit.kind, 0.3)
            + 0.1 / (1 + rank)
            + 0.15 * names_target
            + 0.15 * names_subject
        )
        if hit.text.lstrip().lower().startswith("only if"):
            score *= 0.7
        if (
            kind.target_kind == "other"
            and hit.kind == "eop"
            and not (names_target or names_subject)
        ):
            score *= 0.5
        if score > best.score:
            best = Support(score, cite(hit))
    return best


def cite(hit: Passage) -> dict[str, Any]:
    """A citation as stored with the proposal: where it stands and what it says."""
    text = " ".join(hit.text.replace("`", "").split())
    return {
        "passage": hit.passage_id,
        "document": hit.document,
        "title": hit.title,
        "kind": hit.kind,
        "revision": hit.revision,
        "section": hit.section,
        "step": str(hit.step),
        "text": text
        if len(text) <= EXCERPT_CHARS
        else text[: EXCERPT_CHARS - 1].rsplit(" ", 1)[0] + "…",
        "url": hit.url,
    }


def name_step(cited: dict[str, Any] | None) -> str:
    """A procedure step as people name it, e.g. `EOP-CRAC-01 step 4`; "" without a citation."""
    return f"{cited['document'].upper()} step {cited['step']}" if cited else ""
