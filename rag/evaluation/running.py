"""Run golden questions through retrieval and say how good each way of ranking is."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from rag.access import Reader
from rag.evaluation.golden import Golden
from rag.evaluation.measures import Scores, interval, means, p_value, scores
from rag.evaluation.resolving import Judged, Library, resolve
from rag.intake.embedding import serving_model
from rag.models import Passage, Revision
from rag.retrieval.search import Hit, Leg, search

logger = logging.getLogger(__name__)

DEPTH = 10
SHOWN = 3


class CannotEvaluate(Exception):
    """The run would mislead: a document is missing, or a part of retrieval does not answer."""


@dataclass(frozen=True)
class System:
    """One way of ranking. `name` is what tables and charts call it."""

    name: str
    leg: Leg = "hybrid"
    fusion: str | None = None
    rerank: bool | None = None


HYBRID = System("hybrid")
LEGS = (System("vector", "vector"), System("text", "text"))


@dataclass(frozen=True)
class Answered:
    """What one system found for one question. `first` is the rank of the first right passage."""

    first: int | None
    scores: Scores
    shown: tuple[str, ...]
    milliseconds: float


@dataclass(frozen=True)
class Measured:
    """All questions of one system."""

    system: System
    answered: list[Answered]

    @property
    def values(self) -> list[float]:
        """Each question's reciprocal rank."""
        return [item.scores.mrr for item in self.answered]

    def figures(self, against: "Measured | None" = None) -> dict[str, Any]:
        """The means, the interval of MRR, times, and the test against another system."""
        low, high = interval(self.values)
        times = sorted(item.milliseconds for item in self.answered) or [0.0]
        found = {name: round(value, 4) for name, value in asdict(self._means()).items()} | {
            "mrr_low": round(low, 4),
            "mrr_high": round(high, 4),
            "questions": len(self.answered),
            "ms_median": round(median(times), 1),
            "ms_p95": round(times[min(len(times) - 1, int(0.95 * len(times)))], 1),
        }
        if against is not None:
            found["p_value"] = round(p_value(self.values, against.values), 4)
        return found

    def _means(self) -> Scores:
        return means([item.scores for item in self.answered])


@dataclass(frozen=True)
class Evaluation:
    """A finished run: the questions asked, and what each system made of them.

    `unanswerable` questions have nothing to find and are left out; `skipped` ones want only what
    the library does not hold.
    """

    judged: list[Judged]
    measured: list[Measured]
    unanswerable: int = 0
    skipped: list[Judged] = field(default_factory=list)
    seconds: float = 0.0

    def figures(self) -> dict[str, dict[str, Any]]:
        """Figures by system; each but the first is tested against the first."""
        first = self.measured[0]
        return {
            item.system.name: item.figures(None if item is first else first)
            for item in self.measured
        }

    def rows(self) -> list[dict[str, Any]]:
        """One entry per question for storing: what it wants, and each system's rank and hits."""
        return [
            {
                "query": item.golden.query,
                "wanted": [thing.label for thing in item.wanted],
                "ranks": {run.system.name: run.answered[at].first for run in self.measured},
                "ndcg": {
                    run.system.name: round(run.answered[at].scores.ndcg, 3) for run in self.measured
                },
                "found": list(self.measured[0].answered[at].shown),
            }
            for at, item in enumerate(self.judged)
        ]


def questions_judge(
    questions: Sequence[Golden], *, reader: Reader, skip_missing: bool = False
) -> tuple[list[Judged], list[Judged]]:
    """The answerable questions with their passages, and those that cannot be judged here.

    Raises CannotEvaluate, which names the missing documents, unless `skip_missing`.
    """
    answerable = [golden for golden in questions if golden.is_answerable]
    judged = resolve(answerable, Library(reader))
    missing = [(item, label) for item in judged for label in item.missing]
    if missing and not skip_missing:
        shown = "; ".join(f"{label} ({item.golden.place})" for item, label in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise CannotEvaluate(
            f"not in the library: {shown}{more}; import the documents first, or leave these "
            "out with --skip-missing"
        )
    return [item for item in judged if item.wanted], [item for item in judged if not item.wanted]


def retrieval_evaluate(
    questions: Sequence[Golden],
    *,
    reader: Reader,
    systems: Sequence[System] = (HYBRID, *LEGS),
    collection: str | None = None,
    k: int = DEPTH,
    skip_missing: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Ask every answerable question of every system. The first system is the one under test.

    `progress` hears of questions done and their number. Raises CannotEvaluate when documents are
    missing or a search came back degraded. Cost: one search per question and system.
    """
    started = time.perf_counter()
    judged, skipped = questions_judge(questions, reader=reader, skip_missing=skip_missing)
    if not judged:
        raise CannotEvaluate("no question could be judged: none is answerable from the library")
    hits: list[list[tuple[list[Hit], float]]] = [[] for _ in systems]
    for done, item in enumerate(judged):
        progress(done, len(judged))
        shelf = collection or item.golden.collection or None
        for at, system in enumerate(systems):
            hits[at].append(_ask(item.golden.query, system, reader, shelf, k))
    progress(len(judged), len(judged))
    measured = [
        Measured(system, _answered(judged, found))
        for system, found in zip(systems, hits, strict=True)
    ]
    return Evaluation(
        judged=judged,
        measured=measured,
        unanswerable=sum(not golden.is_answerable for golden in questions),
        skipped=skipped,
        seconds=time.perf_counter() - started,
    )


def setup_describe(
    *, reader: Reader, collection: str | None, k: int, systems: Sequence[System]
) -> dict[str, Any]:
    """What was measured, for the record. Three queries."""
    from django.conf import settings

    from rag.access import readable
    from rag.retrieval.fusion import DEFAULT_METHOD

    revisions = Revision.objects.in_force().filter(readable(reader, "document__collection"))
    if collection:
        revisions = revisions.filter(document__collection__slug=collection)
    return {
        "version": settings.VERSION,
        "embedding_model": serving_model().name,
        "fusion": systems[0].fusion or DEFAULT_METHOD,
        "rerank": systems[0].rerank,
        "collection": collection or "",
        "k": k,
        "systems": [asdict(system) for system in systems],
        "documents": revisions.count(),
        "passages": Passage.objects.filter(revision__in=revisions).count(),
    }


def _ask(
    query: str, system: System, reader: Reader, collection: str | None, k: int
) -> tuple[list[Hit], float]:
    started = time.perf_counter()
    result = search(
        query=query,
        reader=reader,
        k=k,
        collection=collection,
        leg=system.leg,
        fusion=system.fusion,
        rerank=system.rerank,
    )
    spent = (time.perf_counter() - started) * 1000
    if result.degraded:
        raise CannotEvaluate(f"{result.degraded} The figures would mislead; start kvserve.")
    return result.hits, spent


def _answered(judged: Sequence[Judged], found: Sequence[tuple[list[Hit], float]]) -> list[Answered]:
    ids = [[hit.passage_id for hit in hits] for hits, _spent in found]
    by_question = scores(judged, ids)
    return [
        Answered(
            first=item.first(passages),
            scores=values,
            shown=tuple(_label(hit) for hit in hits[:SHOWN]),
            milliseconds=spent,
        )
        for item, passages, values, (hits, spent) in zip(
            judged, ids, by_question, found, strict=True
        )
    ]


def _label(hit: Hit) -> str:
    if hit.step is not None:
        return f"{hit.document} · step {hit.step}"
    tail = hit.section.split(" › ")[-1] if hit.section else ""
    return f"{hit.document} · {tail}" if tail else hit.document
