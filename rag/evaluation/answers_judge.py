"""An independent judge of answers: does the cited text say what the shown sentence says?

It shares no code with the pipeline that makes answers (`rag.answers`): its own reading of the
Markdown, its own sentences, numbers, units and negations. It is a deterministic validator with
embeddings and no entailment model, so it knows nothing of paraphrase beyond its word lists: a
sentence that says the same in other words may be judged unsupported, and never the other way round
for a changed number, unit, code or negation (tested on hand-made wrong answers).

Figures after ALCE (Gao et al. 2023, `eval.py`): citation recall of a sentence is 1 when its cited
passages together support it; citation precision counts, of supported sentences only, each citation
that supports the sentence alone or without which the others do not.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Similarity = Callable[[str, str], float]

MIN_CONTAINMENT = 0.75
MIN_SIMILARITY = 0.6
STRUCTURAL = re.compile(r"^\*\*[^*]+\*\*$")

_MARK = re.compile(r"\[(\d{1,2})\]")
_END = re.compile(r"([.!?])(?:\*\*|[\"')\]])*\s+(?=[A-Z0-9`*\"'(])")
_NOT = {
    "not", "no", "never", "without", "cannot", "nor", "neither", "none", "nobody", "nothing",
}  # fmt: skip
_FILLER_WORDS = """
a an and are as at be been but by do does for from has have he her his i if in into is it its may must
of on or our she should so some such that the their them then there these they this those to up was we
were what when where which who will with would you your also any each than can not no never
"""
_FILLER = set(_FILLER_WORDS.split())
_UNIT_NAMES = {
    "second": "s", "sec": "s", "s": "s", "minute": "min", "min": "min", "hour": "h", "h": "h",
    "hr": "h", "day": "d", "d": "d", "week": "wk", "month": "mon", "year": "yr", "ms": "ms",
    "°c": "degc", "celsius": "degc", "c": "degc", "°f": "degf", "f": "degf", "k": "kelvin",
    "%": "pct", "percent": "pct", "pct": "pct", "w": "w", "watt": "w", "kw": "kw", "kilowatt": "kw",
    "mw": "megaw", "pa": "pa", "pascal": "pa", "kpa": "kpa", "bar": "bar", "psi": "psi", "v": "v",
    "volt": "v", "kv": "kv", "a": "a", "amp": "a", "ampere": "a", "kva": "kva", "va": "va",
    "l/s": "lps", "m³/s": "cms", "m3/s": "cms", "rpm": "rpm", "hz": "hz", "m": "m", "mm": "mm",
    "cm": "cm", "km": "km", "kg": "kg", "gb": "gb", "gib": "gib", "mb": "mb", "mib": "mib",
    "tb": "tb", "tib": "tib", "kb": "kb", "kwh": "kwh", "wh": "wh", "ppm": "ppm",
}  # fmt: skip
_AMOUNT = re.compile(
    r"(?<![\w.])([-−]?\d+(?:[.,]\d+)*)\s*(°\s?[cf]|%|m³/s|m3/s|l/s|[a-z]+)?",
    re.IGNORECASE,
)
_COUNTS = "zero one two three four five six seven eight nine ten"
_WORDS_AS_NUMBERS = {word: str(value) for value, word in enumerate(_COUNTS.split(" ")) if value > 1}
_IDENTIFIER = re.compile(r"[A-Za-z][\w./:-]*\d[\w./:-]*|\d+[\w./:-]*[A-Za-z][\w./:-]*")
_SPACED_NAME = re.compile(r"\b([A-Z][A-Za-z]{1,11})\s+(\d{1,4}|[A-Z])\b(?!\s?[%°])")


@dataclass(frozen=True)
class Shown:
    """A sentence that an answer shows, with the numbers that it cites; `is_quoted`: in a block
    quotation."""

    text: str
    cites: tuple[int, ...]
    is_quoted: bool


@dataclass(frozen=True)
class Judged:
    """One answer's figures. Sentences are those shown; precision counts the citations of the
    supported ones."""

    sentences: int
    supported: int
    verbatim: int
    citations: int
    precise: int
    unsupported: tuple[str, ...] = ()


def shown_sentences(answer: str) -> list[Shown]:
    """The statements of an answer's Markdown.

    Headings in bold are no statements. A quotation's mark stands at its end and holds for each of
    its sentences.
    """
    found: list[Shown] = []
    for paragraph in _blocks(answer):
        quoted = paragraph[0].lstrip().startswith(">")
        lines = [re.sub(r"^\s*>\s?", "", line) if quoted else line for line in paragraph]
        whole = "\n".join(lines)
        marks = tuple(int(number) for number in _MARK.findall(whole))
        for line in lines:
            for sentence in _cut(line):
                text = re.sub(r"\s+(?=[.!?]$)", "", _MARK.sub("", sentence).strip())
                if not _says_something(text):
                    continue
                own = tuple(int(number) for number in _MARK.findall(sentence))
                found.append(Shown(text, marks[-1:] if quoted else own, quoted))
    return found


def judge(answer: str, passages: Mapping[int, str], similarity: Similarity | None = None) -> Judged:
    """Judge an answer against the texts of its citations by number.

    `similarity` gives the cosine of two texts; without it only words count.
    """
    shown = shown_sentences(answer)
    supported = verbatim = citations = precise = 0
    wrong: list[str] = []
    for sentence in shown:
        cited = list(dict.fromkeys(sentence.cites))
        texts = [passages[number] for number in cited if number in passages]
        if len(texts) < len(cited) or not supports("\n".join(texts), sentence.text, similarity):
            wrong.append(sentence.text)
            continue
        supported += 1
        verbatim += any(_stands_in(sentence.text, text) for text in texts)
        for index, text in enumerate(texts):
            others = "\n".join(texts[:index] + texts[index + 1 :])
            alone = supports(text, sentence.text, similarity)
            citations += 1
            precise += alone or not (others and supports(others, sentence.text, similarity))
    return Judged(len(shown), supported, verbatim, citations, precise, tuple(wrong))


def supports(premise: str, statement: str, similarity: Similarity | None = None) -> bool:
    """Whether the premise says what the statement says, by this module's rules."""
    if not premise.strip():
        return False
    if _stands_in(statement, premise):
        return True
    if _identifiers(statement) - _identifiers(premise):
        return False
    lines = [sentence for line in premise.split("\n") for sentence in _cut(line)] or [premise]
    own = _stems(statement)
    near = max(lines, key=lambda line: _closeness(own, _stems(line)))
    if not _amounts_hold(statement, near, premise):
        return False
    if _negates(statement) != _negates(near):
        return False
    if not own or len(own & _stems(premise)) / len(own) < MIN_CONTAINMENT:
        return False
    return similarity is None or similarity(statement, near) >= MIN_SIMILARITY


def _blocks(text: str) -> list[list[str]]:
    """Runs of lines that are all quoted, or all not; blank lines end prose but no quotation."""
    blocks: list[list[str]] = []
    current: list[str] = []
    quoted = False
    for line in text.split("\n"):
        is_quoted = line.lstrip().startswith(">")
        if current and (not line.strip() or is_quoted != quoted):
            blocks.append(current)
            current = []
        if line.strip():
            current.append(line)
            quoted = is_quoted
    return blocks + ([current] if current else [])


def _cut(line: str) -> list[str]:
    """Sentences of a line; a mark after the full stop belongs to the sentence before it."""
    text = re.sub(r"([.!?])(\s*(?:\[\d{1,2}\]\s*)+)", r"\2\1 ", line).strip()
    pieces: list[str] = []
    start = 0
    for found in _END.finditer(text):
        before = text[start : found.end()].strip()
        if re.search(r"\b(?:e\.g|i\.e|approx|etc|no|vs|rev)\.$", before, re.IGNORECASE):
            continue
        pieces.append(before)
        start = found.end()
    return [piece for piece in [*pieces, text[start:].strip()] if piece]


def _says_something(text: str) -> bool:
    plain = text.strip()
    if STRUCTURAL.match(plain) or re.fullmatch(r"[\W_]*", plain):
        return False
    if re.fullmatch(r"[`~]{3,}\w*|#{1,6}\s.*", plain):
        return False
    return bool(_plain(plain))


def _plain(text: str) -> str:
    """Lower case, no Markdown, one space; the form in which wording is compared."""
    text = re.sub(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+", "", text)
    text = re.sub(r"[*`_>#|\\]+", " ", text)
    return " ".join(text.lower().split()).strip(" .;:")


def _stands_in(statement: str, premise: str) -> bool:
    """Whether the statement is a run of whole sentences, lines or cells of the premise."""
    wanted = _plain(statement)
    if not wanted:
        return False
    joined = "\n".join(_plain(line) for line in premise.split("\n"))
    joined = re.sub(r"\s*\n\s*", " \n ", joined)
    for candidate in (joined, " ".join(joined.replace("\n", " ").split())):
        at = candidate.find(wanted)
        while at >= 0:
            before, after = candidate[:at].rstrip(" "), candidate[at + len(wanted) :].lstrip(" ")
            starts = not before or before[-1] in ".!?:\n;"
            ends = not after or after[0] in ".!?\n;:"
            if starts and ends:
                return True
            at = candidate.find(wanted, at + 1)
    return False


def _stems(text: str) -> set[str]:
    tokens = re.findall(r"[a-z]{2,}", text.lower())
    return {token[:5] for token in tokens if token not in _FILLER}


def _closeness(own: set[str], other: set[str]) -> float:
    return 2 * len(own & other) / (len(own) + len(other) or 1)


def _negates(text: str) -> bool:
    return any(
        token in _NOT or token.endswith(("n't", "n’t"))
        for token in re.findall(r"[a-z]+(?:['’]t)?", text.lower())
    )


def _identifiers(text: str) -> set[str]:
    """Names with letters and digits in one spelling: `CRAC-2`, `CRAC 2`, `crac_02` → `crac2`."""
    found: set[str] = set()
    for token in _IDENTIFIER.findall(text):
        if not re.fullmatch(r"\d+(?:[.,]\d+)?[A-Za-z%]{1,3}", token):
            found.add(_spelled(token))
            found |= {_spelled(part) for part in re.split(r"[./:]", token) if _is_name(part)}
    for word, tail in _SPACED_NAME.findall(text):
        if word.isupper():
            found.add(_spelled(word + tail))
    return found - {""}


def _is_name(part: str) -> bool:
    return any(c.isdigit() for c in part) and any(c.isalpha() for c in part)


def _spelled(token: str) -> str:
    runs = re.findall(r"[a-z]+|\d+", token.lower())
    return "".join(run.lstrip("0") or "0" if run.isdigit() else run for run in runs)


def _amounts(text: str) -> list[tuple[float, str]]:
    """Numbers with their units, '' where none is known; digits inside names are none."""
    plain = _IDENTIFIER.sub(
        lambda m: m.group() if re.fullmatch(r"\d+(?:[.,]\d+)?[A-Za-z%]{1,3}", m.group()) else " ",
        text,
    )
    plain = re.sub(r"^\s*\d{1,2}[.)]\s", " ", plain)
    found = []
    for digits, unit in _AMOUNT.findall(plain):
        number = digits.replace("−", "-")
        number = (
            number.replace(",", "") if re.search(r",\d{3}\b", number) else number.replace(",", ".")
        )
        try:
            value = float(number)
        except ValueError:
            continue
        name = unit.lower().replace(" ", "")
        found.append((value, _UNIT_NAMES.get(name, _UNIT_NAMES.get(name.rstrip("s"), ""))))
    for word in re.findall(r"[a-z]+", plain.lower()):
        if word in _WORDS_AS_NUMBERS:
            found.append((float(_WORDS_AS_NUMBERS[word]), ""))
    return found


def _amounts_hold(statement: str, near: str, premise: str) -> bool:
    """Every amount of the statement stands in the nearest sentence, or with its unit elsewhere in
    the premise beside a word of the statement."""
    stated = _amounts(near)
    known = {value for value, _unit in stated}
    elsewhere = _amounts(premise)
    for value, unit in _amounts(statement):
        if (value, unit) in stated or (not unit and value in known):
            continue
        if unit and (value, unit) in elsewhere:
            continue
        # The unit may stand once for both ends of a range.
        if unit and (value, "") in stated and any(other == unit for _value, other in stated):
            continue
        return False
    return True
