"""From checked sentences and chosen pieces to the answer's text.

Order: the checked sentences; below them the source's own words as block quotations. A procedure's
step is always shown whole: what is done in the hall follows the approved words, with warning and
verification.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ObjectDoesNotExist

from rag.answers import sufficiency
from rag.answers.choice import chosen
from rag.answers.citations import Citations, Event, answer_event, declined
from rag.answers.drafts import Checked, Statement, check_draft, embed_or_none
from rag.answers.evidence import Evidence
from rag.answers.extraction import Piece, rank_pieces, window
from rag.answers.procedure_steps import PROCEDURES, asks_what_to_do, first_step, outline
from rag.answers.sentences import bare, units
from rag.codes import tag_candidates
from rag.retrieval.search import Hit

# Words around the best piece of a passage that is no procedure's step.
WINDOW_WORDS = 110
# Another procedure is named when its best piece scores this share of the best one.
CANDIDATE_SHARE = 0.8
MAX_CANDIDATES = 3
_LIST_MARK = re.compile(r"^(?:[-*•]|\d{1,2}[.)])\s+")
CLOSEST = "The closest text, which may not answer the question:"
FLAGGED_MARK = "**Flagged at import, check before use**"


def is_asset(code: str) -> bool:
    """Whether the facility has an asset of that tag, in any of its spellings."""
    from facilities.selectors import asset_context

    for tag in tag_candidates(code)[:4]:
        try:
            asset_context(tag=tag)
        except ObjectDoesNotExist:
            continue
        return True
    return False


def compose(
    *,
    question: str,
    evidence: Evidence,
    draft: str,
    degraded: str = "",
    strong: bool = False,
    tool: Mapping[str, Any] | None = None,
) -> Event:
    """The `answer` event for a draft ('' where no model answered).

    `strong` is whether the model that wrote the draft follows instructions: then its silence is
    believed, and its checked sentences need no quotation below them unless a step is concerned.
    `tool` is the result of a tool whose words come first, as citation 1, where there is an answer.
    """
    if evidence.named.missing_step:
        return declined(evidence, degraded, sufficiency.missing_step(evidence))
    asked = evidence.asked or question
    pieces = ranked(asked, evidence, draft)
    if evidence.is_sufficient:
        reason = sufficiency.objection(evidence, pieces, is_asset=is_asset)
    else:
        reason = sufficiency.code_objection(evidence, is_asset=is_asset)
    if reason == "" and evidence.is_near and pieces:
        return _nearest(evidence, chosen(pieces)[0], degraded)
    if reason is not None:
        return declined(evidence, degraded, reason)
    checked = check_draft(question=asked, evidence=evidence, draft=draft, pieces=pieces)
    if strong and checked.says_nothing and not evidence.named.is_precise:
        return declined(evidence, degraded)
    return _Answer(asked, evidence, pieces, checked, strong, tool).event(degraded)


def _nearest(evidence: Evidence, piece: Piece, degraded: str) -> Event:
    """Not in the documents, with the closest text below it, marked as no answer."""
    hit = piece.hit
    text = hit.text if hit.step is not None else window(piece, max_words=WINDOW_WORDS)
    event = declined(evidence, degraded)
    citations = Citations(evidence)
    quoted = quotation(_titled(hit, text, evidence), citations.cite(hit, text))
    shown = answer_event(
        text=f"{event['answer']}\n\n{CLOSEST}\n\n{quoted}",
        mode="none",
        evidence=evidence,
        citations=citations,
        degraded=degraded,
    )
    return shown | {"grounded": False}


def _titled(hit: Hit, text: str, evidence: Evidence) -> str:
    """A passage's text below its section's name, and below the mark of a flagged one."""
    title = f"**{hit.section.split(' › ')[-1]}**\n\n" if hit.section else ""
    mark = f"{FLAGGED_MARK}\n\n" if hit.passage_id in evidence.flagged else ""
    return mark + title + text


def ranked(question: str, evidence: Evidence, draft: str = "") -> list[Piece]:
    """The pieces of the passages found, best first; one call of the embedder."""

    def embed(texts: list[str]) -> Any:
        return embed_or_none(texts)

    hits = [hit for hit in evidence.hits if hit.passage_id not in evidence.flagged]
    return rank_pieces(
        question=question,
        hits=hits or evidence.hits,
        draft=draft,
        query_vector=evidence.result.query_vector,
        embed=embed,
    )


@dataclass
class _Answer:
    """Puts one answer together."""

    asked: str
    evidence: Evidence
    pieces: Sequence[Piece]
    checked: Checked
    strong: bool
    tool: Mapping[str, Any] | None = None

    def event(self, degraded: str) -> Event:
        """The whole event."""
        self.citations = Citations(self.evidence)
        self.parts: list[str] = []
        self.shown_steps: set[int] = set()
        self.quoted: set[int] = set()
        opening = self.citations.tool_words(self.tool) if self.tool else ""
        live = self.evidence.live
        best = self._best()
        statements = self._lead(best)
        if live and (live.is_asked_for or (best is None and not statements)):
            number = self.citations.cite(None, live.text)
            self.parts.append(quotation("\n".join(live.lines), number))
        elif best is not None:
            self._quote_best(best, statements)
        if not self.parts:
            return declined(self.evidence, degraded)
        candidates = self._candidates(best) if best else []
        own_words = any(statement.is_own_words for statement in statements)
        kept = any(self._is_from_draft(statement) for statement in statements)
        event = answer_event(
            text="\n\n".join([opening, *self.parts] if opening else self.parts),
            mode="answer" if own_words or kept else "quote",
            evidence=self.evidence,
            citations=self.citations,
            degraded=degraded,
            dropped=self.checked.dropped,
            replaced=self.checked.replaced,
            candidates=candidates,
        )
        if best and not (live and live.is_asked_for):
            event["procedure"] = outline(best, self.shown_steps)
        return event

    def _is_from_draft(self, statement: Statement) -> bool:
        return statement in self.checked.statements

    def _best(self) -> Hit | None:
        """The passage to quote; None where the documents do not answer."""
        evidence = self.evidence
        if evidence.named.hits:
            return evidence.named.hits[0]
        if not (evidence.is_confident and self.pieces):
            return None
        if asks_what_to_do(self.asked):
            procedures = [hit for hit in evidence.hits if hit.kind in PROCEDURES]
            if procedures:
                return first_step(procedures[0])
        return self._chosen()[0].hit

    def _lead(self, best: Hit | None) -> list[Statement]:
        """The sentences at the top, each with its mark."""
        statements = list(self.checked.statements)
        if self.evidence.named.hits:
            allowed = {hit.passage_id for hit in self.evidence.named.hits}
            statements = [s for s in statements if s.hit and s.hit.passage_id in allowed]
        if best is not None and best.step is not None and asks_what_to_do(self.asked):
            # The procedure begins below: a sentence of a later step above it would be done first.
            statements = [
                statement
                for statement in statements
                if statement.hit is None
                or statement.hit.step is None
                or statement.hit.passage_id == best.passage_id
            ]
        if best is not None and not self.strong:
            # What is quoted below in full is not said twice.
            whole = {bare(piece) for piece in units(best.text)}
            statements = [
                statement
                for statement in statements
                if statement.is_own_words
                or statement.hit is None
                or statement.hit.passage_id != best.passage_id
                or bare(statement.text) not in whole
                or (best.step is not None and not statement.is_replacement)
            ]
        marked = []
        for statement in statements:
            number = self.citations.cite(statement.hit, statement.quote)
            marked.append(_inline(statement.text, number))
        if marked:
            self.parts.append(_joined(marked))
        return statements

    def _quote_best(self, best: Hit, statements: Sequence[Statement]) -> None:
        if self.strong and statements and best.step is None:
            return
        if self.evidence.named.hits:
            for hit in self.evidence.named.hits:
                self._quote(hit, hit.text)
            return
        lead = next((p for p in self.pieces if p.hit.passage_id == best.passage_id), None)
        if best.step is not None or lead is None:
            self._quote(best, best.text)
        else:
            self._quote(best, window(lead, max_words=WINDOW_WORDS))
        if asks_what_to_do(self.asked) and best.step is not None:
            return
        for piece in self._chosen():
            step = piece.hit.step is not None
            text = piece.hit.text if step else window(piece, max_words=WINDOW_WORDS)
            self._quote(piece.hit, text)

    def _chosen(self) -> list[Piece]:
        """The pieces whose passages are quoted; of named documents only, where some are named."""
        named = [p for p in self.pieces if p.hit.document in self.evidence.named.slugs]
        return chosen(named or self.pieces)

    def _quote(self, hit: Hit, text: str) -> None:
        if hit.passage_id in self.quoted:
            return
        self.quoted.add(hit.passage_id)
        if hit.step is not None:
            self.shown_steps.add(hit.step)
        number = self.citations.cite(hit, text)
        self.parts.append(quotation(_titled(hit, text, self.evidence), number))

    def _candidates(self, best: Hit) -> list[dict[str, Any]]:
        """Other procedures that fit nearly as well, where a procedure was looked for."""
        if best.kind not in PROCEDURES or self.evidence.named.slugs or not self.pieces:
            return []
        bar = self.pieces[0].score * CANDIDATE_SHARE
        found: dict[str, dict[str, Any]] = {}
        for piece in self.pieces:
            hit = piece.hit
            if hit.document == best.document or hit.kind not in PROCEDURES or piece.score < bar:
                continue
            found.setdefault(
                hit.document,
                {
                    "document": hit.document,
                    "title": hit.title,
                    "kind": hit.kind,
                    "revision": hit.revision,
                    "section": hit.section,
                    "url": hit.url,
                },
            )
        return list(found.values())[:MAX_CANDIDATES]


def _inline(text: str, number: int) -> str:
    """A sentence with its mark; a piece of several lines (a table row with its header, code) as a
    block of its own."""
    if "\n" in text.strip():
        return quotation(text, number)
    return f"{_LIST_MARK.sub('', text)} [{number}]"


def _joined(marked: list[str]) -> str:
    """Sentences in one paragraph, blocks apart."""
    text = ""
    for piece in marked:
        joint = (
            "\n\n"
            if text and (piece.startswith(">") or text.split("\n")[-1].startswith(">"))
            else " "
        )
        text = f"{text}{joint}{piece}" if text else piece
    return text


def quotation(text: str, number: int) -> str:
    """Verbatim text as a Markdown block quotation that ends in its citation mark."""
    lines = text.rstrip().split("\n")
    if lines[-1].lstrip().startswith(("```", "~~~", "|")):
        lines.append("")
        lines.append(f"[{number}]")
    else:
        lines[-1] += f" [{number}]"
    return "\n".join(f"> {line}".rstrip() for line in lines)
