"""What writes of setpoints would do: several candidates beside doing nothing, in one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from facilities.tracking.live import current
from facilities.twin.drive import DRIVES
from facilities.twin.schedule import Change
from facilities.twin.site import Site

from .ask import whatif_ask
from .question import Option, Question, QuestionError, wanted_read

DRAWS: Final = 6
BUDGET_S: Final = 5.0
"""A prediction that takes longer is given up: nobody waits for it in an emergency (assumed)."""


class Candidate(NamedTuple):
    """One action: what people call it, and the values it would write by point tag."""

    title: str
    writes: Mapping[str, float]


def predict(
    candidates: Sequence[Candidate], *, tags: Sequence[str], duration_s: float
) -> dict[str, Any]:
    """The answer of one run: course 0 does nothing, course k is ``candidates[k - 1]``.

    ``tags`` are the points to predict. Raises ``QuestionError`` for a write of what is no drive
    or a point that the twin does not know, ``SiteError`` where the site cannot be simulated and
    ``TooLongError`` after ``BUDGET_S``.
    """
    live = current()
    site = live.twin.site
    question = Question(
        tuple(
            Option(candidate.title, tuple(changes_of_writes(candidate.writes, site=site)))
            for candidate in candidates
        ),
        duration_s=duration_s,
        draws=DRAWS,
        record=wanted_read(dict.fromkeys(tags), site=site),
    )
    return whatif_ask(question, live=live, budget_s=BUDGET_S)


def changes_of_writes(writes: Mapping[str, float], *, site: Site) -> list[Change]:
    """Writes of points as changes of the drives of the same name. Raises ``QuestionError``."""
    made = []
    for tag, value in writes.items():
        asset, _, quantity = tag.rpartition(".")
        kind = site.place[asset].kind if asset in site.place else ""
        if (kind, quantity) not in DRIVES:
            raise QuestionError(
                tag, f"the twin has no drive for {tag}, so a write cannot be predicted"
            )
        made.append(Change(0.0, asset, quantity, float(value)))
    return made
