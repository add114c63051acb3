"""Other spellings of a query's words that the documents use: compounds, numbers, typing errors.

Everything here asks the vocabulary of the searched passages (a set of lexemes), so that nothing
is proposed that could not be found.
"""

from collections.abc import Container, Iterator, Mapping
from string import ascii_lowercase

from rag.retrieval.stems import stem

MIN_TYPO_LETTERS = 6
MIN_PART_LETTERS = 3
_LONGEST_ENDING = 6  # letters: `-ations`

_NUMBERS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen
"""
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "ninety": 90}
_ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6}
_AS_FIGURE = {word: str(value) for value, word in enumerate(_NUMBERS.split())}
_AS_FIGURE |= {word: str(value) for word, value in _TENS.items()}
_AS_WORD = {figure: word for word, figure in _AS_FIGURE.items()}


def other_number(word: str) -> str | None:
    """`two` ↔ `2`; None for what is no small number."""
    return _AS_FIGURE.get(word) or _AS_WORD.get(word)


def ordinal(word: str) -> int | None:
    """`first` → 1, `2nd` → 2."""
    if word in _ORDINALS:
        return _ORDINALS[word]
    return int(word[:-2]) if word[:-2].isdigit() and word[-2:] in ("st", "nd", "rd", "th") else None


def joined(first: str, second: str, vocabulary: Container[str]) -> str | None:
    """`set` `point` → `setpoint`, where the documents write it so."""
    if min(len(first), len(second)) < MIN_PART_LETTERS or not (first + second).isalpha():
        return None
    return first + second if stem(first + second) in vocabulary else None


def parted(word: str, vocabulary: Container[str]) -> tuple[str, str] | None:
    """`setpoint` → `set point`, where the documents know both parts and not the whole."""
    if not word.isalpha() or len(word) < 2 * MIN_PART_LETTERS or stem(word) in vocabulary:
        return None
    for cut in range(MIN_PART_LETTERS, len(word) - MIN_PART_LETTERS + 1):
        first, second = word[:cut], word[cut:]
        if stem(first) in vocabulary and stem(second) in vocabulary:
            return first, second
    return None


def meant(word: str, vocabulary: Mapping[str, int]) -> str | None:
    """The lexeme one typing error away from an unknown word that most passages contain, or None.

    Only for words of at least six letters that no passage contains. The first letter is taken as
    right: it is the one that is typed wrong least. About 0.5 ms for an unknown word.
    """
    if len(word) < MIN_TYPO_LETTERS or not word.isalpha():
        return None
    if stem(word) in vocabulary or word in vocabulary:
        return None
    known = set()
    for other in _one_error_away(word):
        if _may_be_known(other, vocabulary) and (lexeme := stem(other)) in vocabulary:
            known.add(lexeme)
    return max(known, key=lambda lexeme: (vocabulary[lexeme], lexeme), default=None)


def _may_be_known(word: str, vocabulary: Container[str]) -> bool:
    """A cheap test before stemming: a stem is its word without an ending, or with `i` for `y`."""
    shortest = max(MIN_TYPO_LETTERS - 1, len(word) - _LONGEST_ENDING)
    if any(word[:end] in vocabulary for end in range(len(word), shortest - 1, -1)):
        return True
    return word.endswith("y") and word[:-1] + "i" in vocabulary


def _one_error_away(word: str) -> Iterator[str]:
    """One letter left out, put in, changed, or two neighbours swapped; the first letter stays."""
    for at in range(1, len(word) + 1):
        head, tail = word[:at], word[at:]
        if tail:
            yield head + tail[1:]
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        for letter in ascii_lowercase:
            yield head + letter + tail
            if tail and letter != tail[0]:
                yield head + letter + tail[1:]
