"""The model's draft, sentence by sentence: kept, replaced by the source's own words, or dropped."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag.answers.evidence import Evidence
from rag.answers.extraction import Piece
from rag.answers.grounding import Source, Verdict, check_sentence
from rag.answers.prompt import NOTHING
from rag.answers.sentences import bare, content_words, overlap, split_sentences
from rag.llm import embed_queries
from rag.models import PassageVector
from rag.retrieval.search import Hit

logger = logging.getLogger(__name__)

MAX_SENTENCES = 6
# A supported sentence that has nothing to do with the question is no answer; assumed.
MIN_QUESTION_SIMILARITY = 0.3
# An unsupported sentence this close to a piece of its source is replaced by that piece.
REPLACE_OVERLAP = 0.5
# … where the piece is among those that answer the question best.
REPLACE_WITHIN = 3

# Marks that the model copies from the prompt's layout; citations are numbered by the check.
_ECHO = re.compile(
    r"^(?:\s*\[\d{1,2}\]\s*|\s*Source \d{1,2}:?\s*|\s*(?:The )?answer(?: is)?:\s*)+"
    r"|\s*\[\d{1,2}\](?=\W*$)",
    re.IGNORECASE,
)
_MARKS = re.compile(r"\[(\d{1,2})\]")
# Talk about the sources instead of from them.
_META = re.compile(
    r"^(?:the|this|these|those)\s+(?:given\s+|above\s+)?(?:sources?|texts?|passages?|documents?"
    r"|context|information)\s+(?:is|are|was|were|describes?|provides?|lists?|contains?|discuss\w*)\b",
    re.IGNORECASE,
)
# A sentence that was cut off may have lost its condition.
_ENDS = re.compile(r"[.!?][\"')\]*`]*$")
# Model text is prose: links, pictures and HTML of its own never reach an answer.
_FOREIGN = re.compile(
    r"!?\[[^\]]*\]\([^)]*\)|<[a-z/!][^>]*>|\bhttps?://\S+|\bwww\.\S+", re.IGNORECASE
)


@dataclass(frozen=True)
class Statement:
    """A sentence that may be shown. `hit` is its source, None for live readings; `quote` the
    source's words behind it; `is_own_words` False where it is the source's sentence itself;
    `is_replacement` where the model had written something else."""

    text: str
    hit: Hit | None
    quote: str
    is_own_words: bool
    is_replacement: bool = False


@dataclass(frozen=True)
class Checked:
    """What the check left of a draft. `says_nothing`: the model said that the sources are silent."""

    statements: tuple[Statement, ...] = ()
    dropped: int = 0
    replaced: int = 0
    says_nothing: bool = False


def check_draft(
    *, question: str, evidence: Evidence, draft: str, pieces: Sequence[Piece]
) -> Checked:
    """Check a draft against the passages of the prompt and the live readings.

    `pieces` are the passages' pieces, best first. Each live reading is a source of its own, so
    that one point's value cannot support a sentence about another.
    """
    raw = [sentence for sentence in split_sentences(draft) if sentence.strip()]
    says_nothing = bool(raw) and all(NOTHING.search(sentence) for sentence in raw)
    sentences: dict[str, frozenset[int]] = {}
    for sentence in raw:
        clean = _ECHO.sub("", sentence).strip()
        cited = frozenset(int(number) for number in _MARKS.findall(sentence))
        clean = " ".join(_MARKS.sub("", clean).split()).replace(" .", ".")
        if clean and not _is_no_answer(clean):
            sentences.setdefault(clean, cited)
    texts = list(sentences)[:MAX_SENTENCES]
    if not texts:
        return Checked((), len(raw), 0, says_nothing)
    sources = _sources(evidence)
    vectors = _vectors(texts, evidence)
    checked: list[Statement] = []
    dropped = len(raw) - len(texts)
    replaced = 0
    for text, vector in zip(texts, vectors, strict=True):
        cited = sentences[text]
        chosen = [source for source in sources if source.number in cited] or sources
        verdict = check_sentence(text, chosen, vector=vector)
        if verdict.source is None and chosen is not sources:
            verdict = check_sentence(text, sources, vector=vector)
        statement = _statement(verdict, vector, question, evidence, pieces)
        if statement is None or any(bare(statement.text) == bare(old.text) for old in checked):
            dropped += 1
            continue
        replaced += statement.is_replacement
        checked.append(statement)
    return Checked(tuple(checked), dropped, replaced, says_nothing)


def _is_no_answer(sentence: str) -> bool:
    return any(pattern.search(sentence) for pattern in (NOTHING, _META, _FOREIGN))


def _sources(evidence: Evidence) -> list[Source]:
    """The numbered sources of the prompt. Asked for a reading, only readings count."""
    hits = evidence.prompt_hits
    live = evidence.live
    sources = [Source(len(hits) + 1, line) for line in (live.lines if live else ())]
    if live and live.is_asked_for:
        return sources
    embeddings = _passage_vectors(hits) if evidence.result.query_vector is not None else {}
    return sources + [
        Source(number, hit.text, heading(hit), embeddings.get(hit.passage_id))
        for number, hit in enumerate(hits, start=1)
    ]


def _statement(
    verdict: Verdict,
    vector: Sequence[float] | None,
    question: str,
    evidence: Evidence,
    pieces: Sequence[Piece],
) -> Statement | None:
    hits = evidence.prompt_hits
    number = verdict.source if verdict.source is not None else verdict.nearest
    hit = hits[number - 1] if number is not None and number <= len(hits) else None
    if verdict.source is None or not _ENDS.search(verdict.sentence):
        return _replacement(verdict, hit, pieces)
    sentence = verdict.sentence
    known = f"{question}\n{heading(hit)}" if hit else question
    if not set(content_words(sentence)) - set(content_words(question)):
        return None
    if not _adds(sentence, known) and not verdict.is_verbatim:
        return None
    if not _is_relevant(sentence, vector, question, evidence):
        return None
    live = "\n".join(evidence.live.lines) if evidence.live else ""
    quote = "\n".join(verdict.pieces) if hit else live
    return Statement(sentence, hit, quote or (hit.text if hit else ""), not verdict.is_verbatim)


def _adds(sentence: str, known: str) -> bool:
    """Whether the sentence says more than the question and the source's headings do."""
    return not set(content_words(sentence)) <= set(content_words(known))


def _replacement(verdict: Verdict, hit: Hit | None, pieces: Sequence[Piece]) -> Statement | None:
    """The source's own piece for an unsupported sentence that leans on it, where that piece is
    among those that answer the question best."""
    if hit is None or not verdict.pieces:
        return None
    for piece in pieces[:REPLACE_WITHIN]:
        if piece.hit.passage_id != hit.passage_id or piece.text not in verdict.pieces:
            continue
        if overlap(verdict.sentence, piece.text) >= REPLACE_OVERLAP:
            return Statement(piece.text, hit, piece.text, False, True)
    return None


def _is_relevant(
    sentence: str, vector: Sequence[float] | None, question: str, evidence: Evidence
) -> bool:
    """Whether the sentence speaks of what was asked."""
    asked = evidence.result.query_vector
    if vector is None or asked is None:
        return bool(set(content_words(sentence)) & set(content_words(question)))
    return sum(a * b for a, b in zip(vector, asked, strict=True)) >= MIN_QUESTION_SIMILARITY


def _vectors(texts: list[str], evidence: Evidence) -> Sequence[list[float] | None]:
    """Unit vectors of the sentences; None each while the embedding server is down."""
    return embed_or_none(texts) if evidence.result.query_vector is not None else [None] * len(texts)


def embed_or_none(texts: list[str]) -> Sequence[list[float] | None]:
    """Unit vectors, or None each when no server answers: the check is then lexical only."""
    from kvserve.client import LLMRefused, LLMUnavailable

    try:
        return embed_queries(texts)
    except (LLMUnavailable, LLMRefused) as error:
        logger.warning("sentences are checked lexically only: %s", error)
        return [None] * len(texts)


def _passage_vectors(hits: list[Hit]) -> dict[int, list[float]]:
    rows = PassageVector.objects.filter(
        passage__in=[hit.passage_id for hit in hits], model__state="serving"
    ).values_list("passage", "embedding")
    return {key: [float(value) for value in vector] for key, vector in rows if vector is not None}


def heading(hit: Hit) -> str:
    """Title and section path, whose names count as the passage's own."""
    return f"{hit.title} › {hit.section}" if hit.section else hit.title
