"""Which number belongs to which statement (pure functions).

`Set in_service to 1, then set cordoned to 0` makes two statements. A sentence that exchanges their
numbers has every number of the source and says something else, so each number is looked for in
the statement of the source that speaks of the same things.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from rag.answers.quantities import Quantity, amount, is_name_ending, quantities
from rag.answers.sentences import content_words
from rag.codes import codes

# `20 and 23 °C` and `4, 32 and 72` are one statement.
_GAP = re.compile(
    r"[;:()]\s*|,\s+(?!\d)|\.\s+|\s+(?:and|or|but|then|while|when|if)\s+(?!\d)|\n", re.IGNORECASE
)


@dataclass(frozen=True)
class Statement:
    """A part of a sentence: its text, what it speaks of, and its quantities in order.

    A part without words of its own (`raise it to 80, wait, then to 100`) speaks of what the part
    before it does, or at the beginning the part after it.
    """

    text: str
    words: frozenset[str]
    quantities: tuple[Quantity, ...]


def statements(text: str) -> list[Statement]:
    """The statements of a text in order; those without a number are left out."""
    parts = [(part, tuple(quantities(part))) for part in _GAP.split(text)]
    words = [_telling_words(part, amounts) for part, amounts in parts]
    current = next((own for own in words if own), frozenset())
    found: list[Statement] = []
    for (part, amounts), own in zip(parts, words, strict=True):
        current = own or current
        if amounts:
            found.append(Statement(part, current, amounts))
    return found


def _telling_words(text: str, amounts: Sequence[Quantity]) -> frozenset[str]:
    """The content words and names, without units: those say nothing about what is meant."""
    words = {word for word in content_words(text) if not word[0].isdigit()}
    units = {word for one in amounts for word in content_words(one.written)}
    return frozenset(words - units | set(codes(text, strict=True)))


def misplaced_quantity(sentence: str, pieces: Sequence[str]) -> str | None:
    """The first quantity that the source's pieces state of something else only, or None.

    Amounts of one kind follow each other as in the source, and each is used once: `80 to 70 Pa`
    and `70 to 70 Pa` are not its `70 to 80 Pa`.
    """
    stated = [statement for piece in pieces for statement in statements(piece)]
    open_amounts: dict[tuple[int, ...], Iterator[Fraction]] = {}
    for own in statements(sentence):
        for one in own.quantities:
            closest = _closest(own, stated, one.dimension)
            if not closest or _is_part_of_a_name(own, one, [stated[index] for index in closest]):
                continue
            amounts = open_amounts.setdefault(
                (*closest, hash(one.dimension)),
                iter(_amounts([stated[index] for index in closest], one.dimension)),
            )
            if not any(amount(one, one.dimension) == other for other in amounts):
                return one.written
    return None


def _closest(own: Statement, stated: list[Statement], dimension: str) -> list[int]:
    """The source's statements with an amount of this kind that share most words with `own`."""
    shared = {
        index: len(own.words & other.words)
        for index, other in enumerate(stated)
        if _amounts([other], dimension)
    }
    return [index for index, count in shared.items() if count == max(shared.values())]


def _amounts(stated: Sequence[Statement], dimension: str) -> list[Fraction]:
    """Their amounts of this kind in order; for '' those with a unit only where none is bare."""
    all_of = [one for statement in stated for one in statement.quantities]
    bare = [one for one in all_of if not one.dimension]
    values = [amount(one, dimension) for one in (not dimension and bare) or all_of]
    return [value for value in values if value is not None]


def _is_part_of_a_name(own: Statement, one: Quantity, stated: Sequence[Statement]) -> bool:
    """Whether the number is that of the source's `crac-4`, written `CRAC 4`."""
    names = {name for statement in stated for name in codes(statement.text)}
    return is_name_ending(own.text, one, names)
