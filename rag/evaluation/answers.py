"""Measure answers on golden questions: support, citations, abstention, key facts, latency."""

import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from asgiref.sync import async_to_sync

from rag.evaluation.answers_judge import Judged, Similarity, judge
from rag.evaluation.golden import Golden
from rag.models import Passage

Ask = Callable[[str, str | None], AsyncIterator[dict[str, Any]]]


@dataclass(frozen=True)
class Outcome:
    """What came of one question. Times in ms.

    `facts_found`: the answer has every key fact; an abstention has none. `facts_nearby` counts
    those of the closest text as well that an abstention may show.
    """

    asked: Golden
    mode: str
    answer: str
    judged: Judged
    facts_found: bool | None
    facts_nearby: bool | None
    first_token_ms: int | None
    total_ms: int
    dropped: int = 0
    replaced: int = 0
    llm: str = ""
    error: str = ""

    @property
    def has_abstained(self) -> bool:
        """Whether the answer is `not in the documents`."""
        return self.mode == "none"

    def row(self) -> dict[str, Any]:
        """As kept with the run."""
        return {
            "query": self.asked.query,
            "answerable": self.asked.is_answerable,
            "mode": self.mode,
            "answer": self.answer[:2000],
            "sentences": self.judged.sentences,
            "supported": self.judged.supported,
            "unsupported": list(self.judged.unsupported)[:5],
            "facts": self.facts_found,
            "first_token_ms": self.first_token_ms,
            "total_ms": self.total_ms,
            "error": self.error,
        }


@dataclass
class Totals:
    """Figures over a set of outcomes; shares are 0…1, None where nothing was counted."""

    outcomes: list[Outcome] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """By name, as stored and printed."""
        answered = [outcome for outcome in self.outcomes if not outcome.has_abstained]
        answerable = [outcome for outcome in self.outcomes if outcome.asked.is_answerable]
        unanswerable = [outcome for outcome in self.outcomes if not outcome.asked.is_answerable]
        judged = [outcome.judged for outcome in answered]
        shown = sum(one.sentences for one in judged)
        supported = sum(one.supported for one in judged)
        with_facts = [o for o in answerable if o.facts_found is not None]
        with_sentences = [one for one in judged if one.sentences]
        with_citations = [one for one in judged if one.citations]
        return {
            "questions": len(self.outcomes),
            "answerable": len(answerable),
            "unanswerable": len(unanswerable),
            "sentences": shown,
            "supported": _share(supported, shown),
            "verbatim": _share(sum(one.verbatim for one in judged), shown),
            "citation_recall": _mean([one.supported / one.sentences for one in with_sentences]),
            "citation_precision": _mean([one.precise / one.citations for one in with_citations]),
            "abstention": _share(sum(o.has_abstained for o in unanswerable), len(unanswerable)),
            "false_abstention": _share(sum(o.has_abstained for o in answerable), len(answerable)),
            "key_facts_nearby": _share(
                sum(bool(o.facts_nearby) for o in with_facts), len(with_facts)
            ),
            "key_facts": _share(sum(bool(o.facts_found) for o in with_facts), len(with_facts)),
            "modes": dict(sorted(Counter(o.mode for o in self.outcomes).items())),
            "dropped": sum(o.dropped for o in self.outcomes),
            "replaced": sum(o.replaced for o in self.outcomes),
            "words": _mean([float(len(o.answer.split())) for o in answered]),
            "first_token_ms_p50": _percentile([o.first_token_ms for o in answered], 0.5),
            "first_token_ms_p95": _percentile([o.first_token_ms for o in answered], 0.95),
            "total_ms_p50": _percentile([o.total_ms for o in self.outcomes], 0.5),
            "total_ms_p95": _percentile([o.total_ms for o in self.outcomes], 0.95),
            "errors": sum(bool(o.error) for o in self.outcomes),
        }


def evaluate(
    questions: Sequence[Golden],
    *,
    ask: Ask,
    similarity: Similarity | None,
    on_each: Callable[[Outcome], None] = lambda outcome: None,
) -> Totals:
    """Ask every question through the product's own pipeline and judge what is shown."""
    totals = Totals()
    for asked in questions:
        outcome = _outcome(asked, ask, similarity)
        totals.outcomes.append(outcome)
        on_each(outcome)
    return totals


def _outcome(asked: Golden, ask: Ask, similarity: Similarity | None) -> Outcome:
    started = time.perf_counter()
    first: list[float] = []
    last: dict[str, Any] = {"type": "error", "detail": "no event came"}

    async def run() -> None:
        nonlocal last
        async for event in ask(asked.query, asked.collection or None):
            if event["type"] == "token" and not first:
                first.append(time.perf_counter())
            last = event

    async_to_sync(run)()
    total_ms = round((time.perf_counter() - started) * 1000)
    first_ms = round((first[0] - started) * 1000) if first else None
    if last["type"] != "answer":
        nothing = Judged(0, 0, 0, 0, 0)
        detail = str(last.get("detail", last["type"]))
        return Outcome(asked, "error", "", nothing, None, None, first_ms, total_ms, error=detail)
    # A tool shows readings, which are no statement of a document.
    answer = last["answer"] if last["mode"] not in {"none", "tool"} else ""
    judged = judge(answer, cited_texts(last["citations"]), similarity)
    facts = near = None
    if asked.key_facts and asked.is_answerable:
        facts = bool(answer) and has_facts(documents_words(last), asked.key_facts)
        near = has_facts(documents_words(last), asked.key_facts)
    return Outcome(
        asked, last["mode"], last["answer"], judged, facts, near, first_ms, total_ms,
        last.get("dropped", 0), last.get("replaced", 0), last.get("llm", ""),
    )  # fmt: skip


def cited_texts(citations: Sequence[dict[str, Any]]) -> dict[int, str]:
    """The cited passages' texts as stored, headings first; a live reading's is its quotation."""
    ids = [entry["passage_id"] for entry in citations if entry["passage_id"]]
    stored = {
        passage.pk: f"{passage.context}\n{passage.section}\n{passage.text}"
        for passage in Passage.objects.filter(pk__in=ids).defer("tsv")
    }
    return {
        entry["n"]: stored.get(entry["passage_id"], "") if entry["passage_id"] else entry["quote"]
        for entry in citations
    }


def documents_words(event: Mapping[str, Any]) -> str:
    """An answer without the words of the tools above it: a reading is no document's fact."""
    said = "\n\n".join(str(tool["result"].get("text", "")) for tool in event.get("tools") or ())
    answer = str(event["answer"])
    return answer[len(said) :] if said and answer.startswith(said) else answer


def has_facts(answer: str, key_facts: Sequence[str]) -> bool:
    """Whether every key fact occurs, Markdown marks and white space aside."""
    plain = " ".join(re.sub(r"[*`>|]|\[\d{1,2}\]", " ", answer).split())
    return all(
        re.search(fact, plain, re.IGNORECASE) or re.search(fact, answer, re.IGNORECASE)
        for fact in key_facts
    )


def embedded_similarity(embed: Callable[[list[str]], list[list[float]]]) -> Similarity:
    """A similarity of two texts by an embedder that gives unit vectors; remembers texts."""
    known: dict[str, list[float]] = {}

    def similarity(left: str, right: str) -> float:
        missing = [text for text in {left, right} if text not in known]
        if missing:
            known.update(zip(missing, embed(missing), strict=True))
        return float(sum(a * b for a, b in zip(known[left], known[right], strict=True)))

    return similarity


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def _percentile(values: Sequence[int | None], share: float) -> int | None:
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    return (
        int(median(known)) if share == 0.5 else known[min(len(known) - 1, int(share * len(known)))]
    )
