"""Is a sentence supported by a source? Deterministic checks first, similarity second.

A small model rephrases, invents numbers and drops a "not". Lexical overlap and embeddings do not
see a changed number or a lost negation, so those are compared outright (pure functions, no I/O).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag.codes import codes

# assumed; set on the demo procedures so that verbatim and lightly rephrased sentences pass.
OVERLAP_ALONE = 0.9
OVERLAP_WITH_SIMILARITY = 0.8
SIMILARITY = 0.55

_NUMBER = re.compile(
    r"(?<![\w.])(?<![A-Za-z]-)[-−+]?(\d+(?:[.,]\d+)*)[\s ]*"
    r"(°\s?C|°\s?F|%|percent|celsius|degrees?(?:\s+celsius)?|[kMG]?Wh?|[kM]?VA?|[kK]?Pa|m³/s|l/s|L/s"
    r"|ms|s|sec(?:onds?)?|min(?:utes?)?|h|hours?|days?|[KMGT]i?B|rpm|Hz|A|C|m)?(?![\w])"
)
_UNITS = {
    "percent": "%", "celsius": "c", "degree": "c", "degrees": "c", "degrees celsius": "c",
    "degree celsius": "c", "°c": "c", "sec": "s", "second": "s", "seconds": "s", "minute": "min",
    "minutes": "min", "hour": "h", "hours": "h", "days": "day",
}  # fmt: skip
_COUNTED = "zero one two three four five six seven eight nine ten eleven twelve"
_NUMBER_WORDS = {
    word: str(value) for value, word in enumerate(_COUNTED.split(" ")) if word != "one"
}
_NEGATION = re.compile(
    r"\b(?:not|no|never|without|cannot|none|neither|nor|\w+n't|\w+n’t)\b", re.IGNORECASE
)
_WORD = re.compile(r"[A-Za-z][A-Za-z'’]*|\d+(?:\.\d+)?")
_STOP_WORDS = """
a an the and or but if of to in on at by for from with as is are was were be been being it its this
that these those there then than so such into out up down over under about you your i he she they
them we our their his her will would can could should shall may might must do does did has have had
not no what which who when where why how all any each also only just please s t re ve ll
"""
_STOP = frozenset(_STOP_WORDS.split())
_LIST_MARK = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+")
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[*]*[A-Z0-9])")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|approx|no|fig|vs|min|max|sec)\.$", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """Something a sentence may be checked against: a passage, or the live readings.

    `embedding` is the source's unit vector (384 floats) or None; `context` is its title and
    section path, whose codes and numbers count as the source's own.
    """

    number: int
    text: str
    context: str = ""
    embedding: Sequence[float] | None = None


@dataclass(frozen=True)
class Verdict:
    """The outcome for one sentence. `source` is the supporting source's number, or None."""

    sentence: str
    source: int | None
    overlap: float
    similarity: float | None
    reason: str = ""


def split_sentences(text: str) -> list[str]:
    """Cut a text into sentences; line breaks end a sentence too. No character but white space
    is lost, and the order is kept."""
    sentences: list[str] = []
    for line in text.split("\n"):
        mark = _LIST_MARK.match(line)
        head, body = (line[: mark.end()], line[mark.end() :]) if mark else ("", line)
        start = 0
        for found in _SENTENCE.finditer(body):
            if not _ABBREVIATION.search(body[: found.start()].rstrip("\"')]")):
                sentences.append(head + body[start : found.end()].strip())
                head, start = "", found.end()
        if (head + body[start:]).strip():
            sentences.append((head + body[start:]).strip())
    return sentences


def content_words(text: str) -> list[str]:
    """Lower-case words without stop words, reduced to a crude stem."""
    words = (word.lower().replace("’", "'") for word in _WORD.findall(text))
    return [_stem(word) for word in words if word not in _STOP]


def _stem(word: str) -> str:
    for suffix in ("ings", "ing", "ied", "ies", "ed", "es", "ly", "s", "e"):
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return word[: -len(suffix)]
    return word


def numbers(text: str) -> set[tuple[str, str]]:
    """Quantities as (digits, unit): `27 °C` → `("27", "c")`; a bare number has unit ''.

    List marks and citation marks `[2]` are not quantities; number words count from two to twelve.
    """
    plain = re.sub(r"\[\d{1,2}\]", " ", _LIST_MARK.sub("", text))
    found: set[tuple[str, str]] = set()
    for match in _NUMBER.finditer(plain):
        digits = match.group(1)
        if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", digits):
            digits = digits.replace(",", "")
        digits = digits.replace(",", ".")
        if "." in digits and digits.count(".") == 1:
            digits = digits.rstrip("0").rstrip(".")
        unit = re.sub(r"\s+", " ", (match.group(2) or "").lower()).replace("° ", "°")
        found.add((digits.lstrip("0") or "0", _UNITS.get(unit, unit)))
    for word in re.findall(r"[a-z]+", plain.lower()):
        if word in _NUMBER_WORDS:
            found.add((_NUMBER_WORDS[word], ""))
    return found


def missing_number(sentence: str, source: str) -> str | None:
    """The first quantity of the sentence that the source does not state, or None.

    Digits must be equal. Units must agree where both sides give one.
    """
    stated: dict[str, set[str]] = {}
    for digits, unit in numbers(source):
        stated.setdefault(digits, set()).add(unit)
    loose = set(re.findall(r"\d+(?:\.\d+)?", source))
    loose |= {digits.lstrip("0") or "0" for digits in loose}
    for digits, unit in sorted(numbers(sentence)):
        units = stated.get(digits)
        if units is None:
            if digits in loose and not unit:
                continue
            return f"{digits} {unit}".strip()
        if unit and "" not in units and unit not in units:
            return f"{digits} {unit}"
    return None


def missing_code(sentence: str, source: str) -> str | None:
    """The first identifier of the sentence that the source does not contain, or None."""
    known = set(codes(source))
    return next((code for code in codes(sentence, strict=True) if code not in known), None)


def overlap(sentence: str, source: str) -> float:
    """The share of the sentence's content words that occur in the source, 0…1."""
    words = set(content_words(sentence))
    if not words:
        return 0.0
    return len(words & set(content_words(source))) / len(words)


def negation_differs(sentence: str, source: str) -> bool:
    """Whether the sentence negates where the closest sentence of the source does not, or the
    other way round."""
    words = set(content_words(sentence))

    def closeness(candidate: str) -> float:
        other = set(content_words(candidate))
        return len(words & other) / (len(words | other) or 1)

    closest = max(split_sentences(source), key=closeness, default="")
    return bool(_NEGATION.search(sentence)) != bool(_NEGATION.search(closest))


def check_sentence(
    sentence: str, sources: Sequence[Source], *, vector: Sequence[float] | None = None
) -> Verdict:
    """Find the source that supports the sentence best, or say why none does.

    `vector` is the sentence's unit embedding; without it the lexical bar is the higher one.
    """
    says_little = len(set(content_words(sentence))) < 2 and not numbers(sentence)
    if says_little or sentence.rstrip().endswith(":"):
        return Verdict(sentence, None, 0.0, None, "says nothing that could be checked")
    best = Verdict(sentence, None, 0.0, None, "no source shares its words")
    for source in sources:
        full = f"{source.context}\n{source.text}"
        share = overlap(sentence, full)
        similarity = _cosine(vector, source.embedding)
        reason = _objection(sentence, source.text, full, share, similarity)
        verdict = Verdict(sentence, None if reason else source.number, share, similarity, reason)
        if _rank(verdict) > _rank(best):
            best = verdict
    return best


def _rank(verdict: Verdict) -> tuple[bool, float]:
    return verdict.source is not None, verdict.overlap + (verdict.similarity or 0.0)


def _objection(sentence: str, text: str, full: str, share: float, similarity: float | None) -> str:
    if code := missing_code(sentence, full):
        return f"{code} is not in the source"
    if number := missing_number(sentence, full):
        return f"{number} is not in the source"
    is_similar = similarity is not None and similarity >= SIMILARITY
    if share < (OVERLAP_WITH_SIMILARITY if is_similar else OVERLAP_ALONE):
        return "too far from the source's words"
    if negation_differs(sentence, text):
        return "negated differently from the source"
    return ""


def _cosine(left: Sequence[float] | None, right: Sequence[float] | None) -> float | None:
    """Dot product of two unit vectors; None where one is missing."""
    if left is None or right is None:
        return None
    return float(sum(a * b for a, b in zip(left, right, strict=True)))
