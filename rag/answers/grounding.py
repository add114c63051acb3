"""Is a sentence supported by a source? Deterministic checks first, similarity second.

A small model rephrases, invents numbers and drops a "not". Lexical overlap and embeddings do not
see a changed number or a lost negation, so those are compared outright (pure functions, no I/O).
A sentence is compared with the few pieces of a source that it speaks of, never with the passage
as a whole: a number from another line of the same passage does not support it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag.answers import claims
from rag.answers.quantities import missing_quantity, quantities
from rag.answers.sentences import bare, content_words, overlap, split_sentences, units
from rag.answers.statements import misplaced_quantity
from rag.codes import codes

__all__ = ["Source", "Verdict", "check_sentence", "content_words", "overlap", "split_sentences"]

# assumed; set on the demo procedures so that verbatim and lightly rephrased sentences pass.
OVERLAP_ALONE = 0.9
OVERLAP_WITH_SIMILARITY = 0.8
SIMILARITY = 0.55
# Words of a sentence that speak about the source instead of repeating it, and units, whose
# numbers are compared exactly.
_HARMLESS = frozenset(
    content_words(
        "according says said states stated document procedure source step passage section note "
        "seconds minutes hours days percent degrees celsius second minute hour day"
    )
)
# A sentence may draw on this many pieces of one source.
MAX_PIECES = 3

_STEP = re.compile(r"\bstep (\d+)\b", re.IGNORECASE)
_OWN_STEP = re.compile(r"^\W*(?:in |at |from |see |according to )?step (\d+)\b", re.IGNORECASE)
_DOTTED = re.compile(r"\b\d+(?:\.\d+){2,}\b|\b[A-Fa-f0-9]{2}(?::[A-Fa-f0-9]{2}){3,}\b")


@dataclass(frozen=True)
class Source:
    """Something a sentence may be checked against: a passage, or one live reading.

    `embedding` is the source's unit vector or None; `context` is its title and section path, whose
    codes and names count as the source's own.
    """

    number: int
    text: str
    context: str = ""
    embedding: Sequence[float] | None = None


@dataclass(frozen=True)
class Verdict:
    """The outcome for one sentence. `source` is the supporting source's number, or None.

    `nearest` and `pieces` are the source and its own words that come closest, supported or not.
    """

    sentence: str
    source: int | None
    overlap: float
    similarity: float | None
    reason: str = ""
    nearest: int | None = None
    pieces: tuple[str, ...] = ()
    is_verbatim: bool = False


def check_sentence(
    sentence: str, sources: Sequence[Source], *, vector: Sequence[float] | None = None
) -> Verdict:
    """Find the source that supports the sentence best, or say why none does.

    `vector` is the sentence's unit embedding; without it the lexical bar is the higher one.
    """
    best = Verdict(sentence, None, 0.0, None, "no source shares its words")
    for source in sources:
        if is_verbatim(sentence, source.text):
            return Verdict(sentence, source.number, 1.0, None, "", source.number, (sentence,), True)
    says_little = len(set(content_words(sentence))) < 2 and not quantities(sentence)
    if says_little or sentence.rstrip().endswith((":", "?")):
        return Verdict(sentence, None, 0.0, None, "says nothing that could be checked")
    for source in sources:
        verdict = _against(sentence, source, vector)
        if _rank(verdict) > _rank(best):
            best = verdict
    return best


def is_verbatim(sentence: str, text: str) -> bool:
    """Whether the sentence is one whole piece of the text, or several in a row, word for word.

    A part of a piece is not enough: `start two units` stands in `do not start two units`.
    """
    wanted = bare(sentence).rstrip(".")
    pieces = [bare(piece) for piece in units(text)]
    for first in range(len(pieces)):
        joined = ""
        for piece in pieces[first : first + MAX_PIECES]:
            joined = f"{joined} {piece}".strip()
            if joined.rstrip(".") == wanted:
                return bool(wanted)
            if len(joined) > len(wanted) + 1:
                break
    return False


def nearest_pieces(sentence: str, text: str) -> list[str]:
    """The pieces of a source that the sentence speaks of, in the source's order, at most three.

    The closest piece first; then others only as long as each adds content words of the sentence.
    """
    own = set(content_words(sentence))
    candidates = [(piece, set(content_words(piece))) for piece in units(text)]
    chosen: list[int] = []
    covered: set[str] = set()

    def worth(index: int) -> tuple[int, float]:
        held = candidates[index][1]
        return len((held & own) - covered), len(held & own) / (len(held | own) or 1)

    while candidates and len(chosen) < MAX_PIECES:
        best = max(range(len(candidates)), key=worth)
        if worth(best)[0] < (2 if chosen else 1) and not (chosen and own - covered):
            break
        if best in chosen or worth(best)[0] == 0:
            break
        chosen.append(best)
        covered |= candidates[best][1] & own
    return [candidates[index][0] for index in sorted(chosen)]


def _rank(verdict: Verdict) -> tuple[bool, float]:
    return verdict.source is not None, verdict.overlap + (verdict.similarity or 0.0)


def _against(sentence: str, source: Source, vector: Sequence[float] | None) -> Verdict:
    pieces = nearest_pieces(sentence, source.text)
    near = "\n".join(pieces)
    share = _share(sentence, f"{source.context}\n{near}")
    similarity = _cosine(vector, source.embedding)
    reason = _objection(sentence, source, pieces, share, similarity)
    return Verdict(
        sentence,
        None if reason else source.number,
        share,
        similarity,
        reason,
        source.number if pieces else None,
        tuple(pieces),
    )


def _share(sentence: str, source: str) -> float:
    """The share of the sentence's content words that the source has; numbers are checked apart."""
    own = {word for word in content_words(sentence) if word.isalpha()} - _HARMLESS
    own -= {"c", "f", "k", "w", "kw", "v", "pa", "kpa", "min", "h", "sec", "hz"}
    if not own:
        return overlap(sentence, source)
    return len(own & set(content_words(source))) / len(own)


def _objection(
    sentence: str, source: Source, pieces: list[str], share: float, similarity: float | None
) -> str:
    near = "\n".join(pieces)
    if code := missing_code(sentence, f"{source.context}\n{near}"):
        return f"{code} is not in the source"
    said = _without_own_step(sentence, source.context)
    if number := missing_quantity(said, near) or misplaced_quantity(said, pieces):
        return f"{number} is not in the source"
    is_similar = similarity is not None and similarity >= SIMILARITY
    if share < (OVERLAP_WITH_SIMILARITY if is_similar else OVERLAP_ALONE):
        return "too far from the source's words"
    return claims.objection(sentence, pieces, source.context)


def _without_own_step(sentence: str, context: str) -> str:
    """The sentence without the number of the section's own step, as in `Step 4 says …`."""
    found = _OWN_STEP.match(sentence)
    is_own = found is not None and found[1] in _STEP.findall(context)
    return sentence[found.end() :] if found and is_own else sentence


def missing_code(sentence: str, source: str) -> str | None:
    """The first identifier or dotted number of the sentence that the source does not contain."""
    known = set(codes(source))
    for code in codes(sentence, strict=True):
        if code not in known:
            return code
    dotted = set(_DOTTED.findall(source))
    return next((found for found in _DOTTED.findall(sentence) if found not in dotted), None)


def _cosine(left: Sequence[float] | None, right: Sequence[float] | None) -> float | None:
    """Dot product of two unit vectors; None where one is missing."""
    if left is None or right is None:
        return None
    return float(sum(a * b for a, b in zip(left, right, strict=True)))
