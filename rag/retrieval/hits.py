"""What a search returns, and how it was found."""

from dataclasses import dataclass, field

from django.db import connection
from django.urls import reverse

from rag.retrieval.candidates import Candidate, Scored
from rag.retrieval.confidence import CONFIDENT
from rag.retrieval.lexical import MatchedTerm
from rag.retrieval.rows import fetch


@dataclass(frozen=True)
class Hit:
    """One passage found, with the reasons. Ranks count from 1; None: not found by that leg.

    `similarity` is the cosine, -1…1; `bm25` the raw lexical score, 0 and up, made of `matched`;
    `coverage` the share of the query's lexical weight (IDF) that the passage contains, 0…1;
    `score` their fusion, made of `parts`; `rerank_score` the cross-encoder's, where one ran.
    `before` and `after` are the ordinals of the passages around it, None at an end.
    """

    passage_id: int
    document: str
    title: str
    kind: str
    section: str
    step: int | None
    page: int | None
    text: str
    score: float
    vector_rank: int | None
    text_rank: int | None
    url: str
    ordinal: int = 0
    revision: int = 0
    collection: str = ""
    similarity: float | None = None
    bm25: float = 0.0
    coverage: float = 0.0
    rerank_score: float | None = None
    matched: tuple[MatchedTerm, ...] = ()
    parts: tuple[tuple[str, float], ...] = ()
    before: int | None = None
    after: int | None = None


@dataclass(frozen=True)
class Explanation:
    """How a search went.

    `path` of the vectors: exact, index, fallback (the index came back short, so exact) or none;
    `terms` what was looked up, with document frequency and IDF among the `passages` in scope;
    `added` what expansion put in; `timings_ms` by stage.
    """

    fusion: str = ""
    path: str = "none"
    candidates: int = 0
    by_vector: int = 0
    by_text: int = 0
    passages: int = 0
    mean_words: float = 0.0
    postings: int = 0
    terms: tuple[MatchedTerm, ...] = ()
    added: tuple[str, ...] = ()
    reranked: bool = False
    embedding_model: str = ""
    timings_ms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SearchResult:
    """Hits, best first. `degraded` says in one sentence what was missing, or is empty.

    `confidence` is how sure it is that they answer the question, 0…1.
    """

    hits: list[Hit]
    degraded: str = ""
    query_vector: list[float] | None = None
    confidence: float = 0.0
    explanation: Explanation = field(default_factory=Explanation)

    @property
    def is_confident(self) -> bool:
        """Whether the best hits are close enough to the query to be shown as an answer."""
        return self.confidence >= CONFIDENT


_NEIGHBOURS = """
SELECT p.id,
  (SELECT b.ordinal FROM rag_passage b WHERE b.revision_id = p.revision_id
     AND b.ordinal < p.ordinal ORDER BY b.ordinal DESC LIMIT 1),
  (SELECT a.ordinal FROM rag_passage a WHERE a.revision_id = p.revision_id
     AND a.ordinal > p.ordinal ORDER BY a.ordinal LIMIT 1)
FROM rag_passage p WHERE p.id = ANY(%(ids)s::bigint[])
"""


def texts_around(hits: list[Hit]) -> dict[int, tuple[str | None, str | None]]:
    """The texts of the passages before and after each hit, by its id. One query."""
    if not hits:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT p.id, b.text, a.text FROM unnest(%s::bigint[], %s::integer[], %s::integer[]) "
            "AS hit(id, before, after) JOIN rag_passage p ON p.id = hit.id "
            "LEFT JOIN rag_passage b ON b.revision_id = p.revision_id AND b.ordinal = hit.before "
            "LEFT JOIN rag_passage a ON a.revision_id = p.revision_id AND a.ordinal = hit.after",
            [
                list(column)
                for column in zip(*((h.passage_id, h.before, h.after) for h in hits), strict=True)
            ],
        )
        return {key: (before, after) for key, before, after in cursor.fetchall()}


def hits_of(
    best: list[tuple[Scored, Candidate]], terms: dict[int, tuple[MatchedTerm, ...]]
) -> list[Hit]:
    """Hits of the best candidates, in their order. One query, for the neighbours."""
    around: dict[int, tuple[int | None, int | None]] = {}
    if best:
        rows = fetch(_NEIGHBOURS, {"ids": [found.passage_id for found, _candidate in best]})
        around = {key: (before, after) for key, before, after in rows}
    return [
        _hit(
            scored,
            candidate,
            terms.get(scored.passage_id, ()),
            around.get(scored.passage_id, (None, None)),
        )
        for scored, candidate in best
    ]


def _hit(
    scored: Scored,
    candidate: Candidate,
    matched: tuple[MatchedTerm, ...],
    around: tuple[int | None, int | None],
) -> Hit:
    details = candidate.details
    similarity = candidate.similarity
    page = reverse("rag:document", args=[details.document])
    return Hit(
        passage_id=candidate.passage_id,
        document=details.document,
        title=details.title,
        kind=details.kind,
        section=" › ".join(details.section_path),
        step=details.step,
        page=details.page,
        text=details.text,
        score=round(scored.score, 4),
        vector_rank=candidate.vector_rank,
        text_rank=candidate.text_rank,
        url=f"{page}?revision={details.revision}#{details.anchor}",
        ordinal=details.ordinal,
        revision=details.revision,
        collection=details.collection,
        similarity=None if similarity is None else round(similarity, 4),
        bm25=round(candidate.bm25, 4),
        coverage=round(candidate.coverage, 4),
        matched=matched,
        parts=scored.parts,
        before=around[0],
        after=around[1],
    )
