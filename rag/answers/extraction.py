"""Choose the sentences of the passages found that answer the question: shown word for word.

Each piece of a passage is scored by its closeness to the question (embedding and rare words), by
whether it holds the kind of thing asked for (a duration, a person, a command, …), by its passage's
rank, and by how much the model's draft leans on it. The weights were set by hand on the tune halves
of the golden sets (docs/answers.md).
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rag.answers.quantities import quantities
from rag.answers.sentences import bare, content_words, units
from rag.retrieval.search import Hit

MAX_UNITS = 48
# Scores are sums of these; each feature is 0…1.
WEIGHT_SIMILARITY = 1.0
WEIGHT_WORDS = 1.0
WEIGHT_TYPE = 0.35
WEIGHT_RANK = 0.25
WEIGHT_DRAFT = 0.3

_QUANTITY_WORDS = (
    ("time", r"how long|how soon|how quickly|how fast|how often|(?:since|by|until) when|duration|within what"
             r"|how many (?:seconds|minutes|hours|days)|time ?out|interval|how late|delay"),
    ("celsius", r"how (?:hot|warm|cold|cool)|temperature|degrees|setpoint"),
    ("pressure", r"pressure|how many (?:pascals?|bar|kpa)"),
    ("share", r"percent|percentage|what speed|fan speed|how full|threshold|utili[sz]ation|level"),
    ("power", r"how much (?:power|load|heat)|how many (?:watts|kw|kilowatts)|wattage|power draw"),
    ("voltage", r"voltage|how many volts"),
    ("current", r"how many amp|current rating|amperage"),
    ("flow", r"flow|how much (?:air|water)"),
    ("", r"how many|how much|how (?:high|low|far|large|big|deep|wide|heavy|tall)|what (?:value|limit"
         r"|number|size|range|rate|port|rating)|which (?:value|limit|number|port)|maximum|minimum"
         r"|limit|threshold|at what|above what|below what"),
)  # fmt: skip
_DIMENSIONS = [(name, re.compile(rf"\b(?:{pattern})", re.I)) for name, pattern in _QUANTITY_WORDS]
_PEOPLE = re.compile(
    r"\b(?:supervisor|manager|operator|engineer|contractor|technician|electrician|lead|officer|"
    r"owner|brigade|team|vendor|supplier|administrator|admin|user|support|shift|on call|staff)\b",
    re.IGNORECASE,
)
_TYPES: tuple[tuple[re.Pattern[str], re.Pattern[str]], ...] = tuple(
    (re.compile(asked, re.IGNORECASE), re.compile(given, re.IGNORECASE))
    for asked, given in (
        (r"\bwho(?:m|se)?\b|\bwhich (?:person|role|team)\b|\bwhose\b", _PEOPLE.pattern),
        (r"\bwhy\b|\bwhat (?:causes?|is the (?:reason|cause))\b|\bcause[ds]?\b",
         r"\b(?:because|so that|since|due to|caused? by|otherwise|therefore|reason|means|as the)\b"),
        (r"\b(?:command|cli|run|script|how (?:do|can|to)|syntax|kubectl|option|flag|parameter)\b",
         r"`|\$ |\b(?:kubectl|oc|sudo|ansible|docker|ceph|systemctl|nvidia-smi)\b"),
        (r"\bwarn|danger|careful|caution|risk|safe|must (?:i|we) not|never|forbidden|avoid\b",
         r"\b(?:warning|caution|danger|never|do not|must not|only|risk|unless)\b"),
        (r"\bverif|how (?:do|can) (?:i|we) (?:know|check|tell|see|confirm)|check|confirm\b",
         r"\b(?:verify|check|confirm|reads?|shows?|reports?|is (?:above|below|between))\b"),
        (r"^(?:may|can|could|should|must|is|are|do|does|will|am) ",
         r"\b(?:not|only|must|may|can|cannot|never|always|unless|if|required|allowed)\b"),
        (r"\bwhere\b|\bwhich (?:file|folder|directory|path|page|panel|room|port)\b",
         r"/\w|\b(?:in|at|on|under|behind|beside|next to|folder|directory|file|page|panel|map)\b"),
        (r"\bwhat (?:does|is|are)\b.*\bmean|\bmeaning of|\bwhat (?:is|are)\b",
         r"\b(?:means?|is an?|is the|are the|indicates?|fires when|refers to|defined)\b"),
    )
)  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """A quotable piece of a passage, with the features and the score of its choice.

    `index` is its place in the passage; `holds` whether it has the kind of thing asked for, None
    where no kind was recognised.
    """

    hit: Hit
    index: int
    text: str
    rank: int
    score: float = 0.0
    similarity: float | None = None
    words: float = 0.0
    holds: bool | None = None


def asked_dimension(question: str) -> str | None:
    """The dimension of the quantity asked for ('' for any number), or None."""
    for name, pattern in _DIMENSIONS:
        if pattern.search(question):
            return name
    return None


def holds_answer(question: str, text: str) -> bool | None:
    """Whether the text has the kind of thing that is asked for; None where that is unknown."""
    dimension = asked_dimension(question)
    if dimension is not None:
        asked = {quantity.key for quantity in quantities(question)}
        given = [quantity for quantity in quantities(text) if quantity.key not in asked]
        if any(quantity.dimension == dimension for quantity in given):
            return True
        return bool(given) and dimension == ""
    for asks, gives in _TYPES:
        if asks.search(question):
            return bool(gives.search(text))
    return None


def pieces_of(hits: Sequence[Hit]) -> list[Piece]:
    """The pieces of the passages, at most MAX_UNITS, best passage first."""
    found: list[Piece] = []
    for rank, hit in enumerate(hits):
        for index, text in enumerate(units(hit.text)):
            if len(bare(text)) > 12 and not bare(text).endswith(":"):
                found.append(Piece(hit, index, text, rank))
    return found[:MAX_UNITS]


def rank_pieces(
    *,
    question: str,
    hits: Sequence[Hit],
    draft: str = "",
    query_vector: Sequence[float] | None = None,
    embed: Callable[[list[str]], list[list[float]]] | None = None,
) -> list[Piece]:
    """All pieces of the passages, best first. One call of `embed` where it is given."""
    pieces = pieces_of(hits)
    vectors: Sequence[Sequence[float] | None] = [None] * len(pieces)
    if embed is not None and query_vector is not None and pieces:
        vectors = embed([_in_context(piece) for piece in pieces])
    weights = _weights(question, pieces)
    total = sum(weights.values()) or 1.0
    drafted = set(content_words(draft))
    ranked = []
    for piece, vector in zip(pieces, vectors, strict=True):
        own = set(content_words(f"{piece.hit.section} {piece.text}"))
        share = sum(weight for word, weight in weights.items() if word in own) / total
        similarity = None
        if vector is not None and query_vector is not None:
            similarity = sum(a * b for a, b in zip(vector, query_vector, strict=True))
        holds = holds_answer(question, piece.text)
        leaning = len(own & drafted) / (len(own) or 1) if drafted else 0.0
        score = (
            WEIGHT_SIMILARITY * (similarity or 0.0)
            + WEIGHT_WORDS * share
            + WEIGHT_TYPE * bool(holds)
            + WEIGHT_RANK / (1 + piece.rank)
            + WEIGHT_DRAFT * leaning
        )
        ranked.append(replace(piece, score=score, similarity=similarity, words=share, holds=holds))
    return sorted(ranked, key=lambda piece: (-piece.score, piece.rank, piece.index))


def _in_context(piece: Piece) -> str:
    section = piece.hit.section.split(" › ")[-1]
    return f"{piece.hit.title}. {section}. {bare(piece.text)}"


def _weights(question: str, pieces: Sequence[Piece]) -> dict[str, float]:
    """The question's words, weighted by how few of the pieces have them."""
    texts = [set(content_words(f"{piece.hit.section} {piece.text}")) for piece in pieces]
    weights: dict[str, float] = {}
    for word in set(content_words(question)):
        held = sum(word in text for text in texts)
        weights[word] = math.log(1 + (len(texts) - held + 0.5) / (held + 0.5))
    return weights


def window(best: Piece, *, max_words: int) -> str:
    """The best piece with the pieces after and before it as long as they fit, in reading order."""
    texts = units(best.hit.text)
    first = last = best.index
    count = len(texts[best.index].split())
    while True:
        grown = False
        if last + 1 < len(texts) and count + len(texts[last + 1].split()) <= max_words:
            last += 1
            count += len(texts[last].split())
            grown = True
        if first > 0 and count + len(texts[first - 1].split()) <= max_words:
            first -= 1
            count += len(texts[first].split())
            grown = True
        if not grown:
            break
    return between(best.hit.text, texts, first, last)


def between(text: str, texts: Sequence[str], first: int, last: int) -> str:
    """The source's own text from one of its pieces to another, line breaks and marks included."""
    if first == 0 and last == len(texts) - 1:
        return text.strip()
    start, position = 0, 0
    for index in range(last + 1):
        piece = (
            texts[index].split("\n")[-1] if texts[index].lstrip().startswith("|") else texts[index]
        )
        found = _find(text, piece, position)
        if found is None:
            return "\n".join(texts[first : last + 1])
        if index == first:
            start = found[0]
        position = found[1]
    return text[start:position].strip()


def _find(text: str, piece: str, position: int) -> tuple[int, int] | None:
    """Where a piece stands, whatever white space its line breaks became."""
    pattern = r"\s+".join(re.escape(word) for word in piece.split())
    match = re.compile(pattern).search(text, position)
    return (match.start(), match.end()) if match else None
