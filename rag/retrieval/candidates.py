"""What fusion chooses from: the passages of either leg, each with both raw scores."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Details:
    """What a passage is and says; one row of the database."""

    revision_id: int
    revision: int
    document_id: int
    document: str
    title: str
    kind: str
    collection: str
    section_path: tuple[str, ...]
    step: int | None
    page: int | None
    ordinal: int
    anchor: str
    text: str
    context: str
    codes: tuple[str, ...]
    words: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """One passage with both raw scores, whichever leg found it.

    `similarity` is the cosine (-1…1; None without a query vector); `bm25` 0 and up; `coverage`
    the share of the query's weighted IDF that it contains, 0…1. Ranks count from 1 among the
    leg's own list; None: not on it. `matched` are the lexemes and codes that it contains,
    `in_title` those of them in its title or section path.
    """

    passage_id: int
    similarity: float | None
    bm25: float
    coverage: float
    vector_rank: int | None
    text_rank: int | None
    matched: frozenset[str]
    in_title: frozenset[str]
    details: Details


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate's place after fusion. `parts` are what the score adds up from, by name."""

    passage_id: int
    score: float
    parts: tuple[tuple[str, float], ...] = ()
