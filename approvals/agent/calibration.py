"""How sure the agent may say it is: the frequencies of its own evaluation, not its own feeling."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

# Made by `manage.py evaluate_agent --calibrate`.
FILE = Path(__file__).with_name("calibration.json")
# Lower edges of the likelihood bins.
EDGES = (0.0, 0.3, 0.6, 0.8, 0.9, 0.97)
# Fewer evaluated cases than this say nothing about a bin.
LEAST = 5


class Bin(NamedTuple):
    """Likelihoods from `low` up: `right` of `cases` named the right asset."""

    low: float
    right: int
    cases: int


def binned(found: Iterable[tuple[float, bool]]) -> list[Bin]:
    """Count (likelihood of the leading cause, whether its asset was right) by bin."""
    rows = list(found)
    edges = [*EDGES, 1.01]
    made = []
    for low, high in pairwise(edges):
        mine = [right for likelihood, right in rows if low <= likelihood < high]
        made.append(Bin(low, sum(mine), len(mine)))
    return made


@lru_cache(maxsize=1)
def bins() -> tuple[Bin, ...]:
    """The stored frequencies; empty before the first calibration."""
    if not FILE.exists():
        return ()
    return tuple(Bin(*row) for row in json.loads(FILE.read_text())["bins"])


def confidence_of(likelihood: float) -> dict[str, Any]:
    """{likelihood, word, text, right, cases}: what cases with such a likelihood came to.

    The word follows the lower end of what the frequency allows (Wilson score, 90 %), so that a few
    lucky cases do not make the agent sure.
    """
    found = next((b for b in reversed(bins()) if likelihood >= b.low), None)
    share = f"{100 * likelihood:.0f} %"
    if found is None or found.cases < LEAST:
        return {
            "likelihood": round(likelihood, 3),
            "word": "unproven",
            "text": f"{share} by its own rules; too few evaluated cases to say what that is worth",
            "right": found.right if found else 0,
            "cases": found.cases if found else 0,
        }
    low = wilson_low(found.right, found.cases)
    word = "high" if low >= 0.8 else "moderate" if low >= 0.5 else "low"
    return {
        "likelihood": round(likelihood, 3),
        "word": word,
        "text": f"{share} by its own rules; in evaluation such cases named the right asset "
        f"{found.right} of {found.cases} times",
        "right": found.right,
        "cases": found.cases,
    }


def wilson_low(right: int, cases: int, z: float = 1.645) -> float:
    """Lower end of the Wilson score interval of a share (E. B. Wilson, 1927)."""
    if not cases:
        return 0.0
    p = right / cases
    middle = p + z * z / (2 * cases)
    spread = z * ((p * (1 - p) + z * z / (4 * cases)) / cases) ** 0.5
    return (middle - spread) / (1 + z * z / cases)


def bins_store(found: list[Bin], *, command: str) -> None:
    """Keep the frequencies of an evaluation for the words of later proposals."""
    document = {"command": command, "bins": [list(b) for b in found]}
    FILE.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    bins.cache_clear()
