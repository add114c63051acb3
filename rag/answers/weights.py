"""The learned weights of answers (`weights.json`), written by `manage.py learn_answers --write`."""

import functools
import json
from dataclasses import dataclass, fields
from pathlib import Path

FILE = Path(__file__).with_name("weights.json")


@dataclass(frozen=True)
class Answerable:
    """Log odds that the documents answer: `intercept`, plus each weight times its sign
    (`rag.answers.answerable.Signs`)."""

    intercept: float
    confidence: float
    margin: float
    agreement: float
    length: float
    unknown: float
    focus: float


@dataclass(frozen=True)
class Passages:
    """Log odds between the passages found: retrieval's `score`, and that of the best `piece`."""

    score: float
    piece: float


@dataclass(frozen=True)
class Weights:
    """Everything in `weights.json`."""

    answerable: Answerable
    passages: Passages


@functools.cache
def weights() -> Weights:
    """The weights as shipped. Raises ValueError, which names the file, where one is missing or
    unknown."""
    return read(FILE)


def read(path: Path) -> Weights:
    """The weights of a file; errors as `weights`."""
    found = json.loads(path.read_text(encoding="utf-8"))
    for part, kind in (("answerable", Answerable), ("passages", Passages)):
        wanted, given = {field.name for field in fields(kind)}, set(found.get(part, {}))
        if wanted != given:
            raise ValueError(
                f"{path.name}: '{part}' has {sorted(given)} where {sorted(wanted)} is wanted; "
                "write it with manage.py learn_answers --write"
            )
    return Weights(Answerable(**found["answerable"]), Passages(**found["passages"]))
