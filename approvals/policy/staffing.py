"""Whether enough people are left for everything that a proposal will ask of them: signatures, the
holds of a procedure that need a second person, and the reviews of an emergency.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from approvals.policy.document import BreakGlassTerms
from approvals.policy.people import Signer, able_to, deciders, signers, too_few
from approvals.policy.requirement import Requirement
from approvals.policy.words import NUMBER_WORDS

TO_DO: Final = (
    "Give somebody else the role (manage.py create_operator NAME --role ROLE), or let the agent or "
    "another person ask for it."
)


class Shortage(NamedTuple):
    """What nobody would be left for. `code`: signatures, holds or reviews; `text` ends with what to
    do. Without people for its holds a procedure would stop half-way.
    """

    code: str
    text: str


def second_person_holds(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """The numbers of the steps before which somebody not yet involved has to confirm."""
    return [str(step["n"]) for step in steps if step.get("hold") == "second_person"]


def shortages(
    *,
    requirement: Requirement,
    risk: str,
    steps: Sequence[Mapping[str, Any]] = (),
    without: Collection[int] = (),
    emergency: BreakGlassTerms | None = None,
) -> list[Shortage]:
    """Everything that these people (all but `without`: who asks, who edits) could not do.

    Signers and each second person of a hold are different people; any other hold is released by
    somebody who is involved already. Ten queries at most.
    """
    everybody = deciders()
    found = []
    able = signers(requirement=requirement, without=without, people=everybody)
    if text := too_few(requirement, able, risk):
        found.append(Shortage("signatures", f"nobody is left to sign it: it {text}. {TO_DO}"))
    holds = second_person_holds(steps)
    free = [one for one in everybody if one.pk not in without]
    signing = max(requirement.signatures, requirement.distinct_roles, 1)
    if holds and len(free) < signing + len(holds):
        found.append(Shortage("holds", _no_second_person(holds, signing, free)))
    if emergency is not None and (text := _unreviewed(emergency, without)):
        found.append(Shortage("reviews", text))
    return found


def _no_second_person(holds: Sequence[str], signing: int, free: Sequence[Signer]) -> str:
    steps = f"step{'s' if len(holds) > 1 else ''} {', '.join(holds)}"
    names = ", ".join(one.username for one in free) or "nobody"
    return (
        f"nobody would be left to confirm {steps}: besides who asks it takes "
        f"{_number(signing)} to sign and {_number(len(holds))} who did not, and there is {names}. "
        f"{TO_DO}"
    )


def _unreviewed(emergency: BreakGlassTerms, without: Collection[int]) -> str:
    if not emergency.enabled:
        return ""
    alone = [one for one in able_to("break_glass") if one.pk not in without]
    reviewers = {one.pk for one in able_to("review_break_glass")}
    most = max((len(reviewers - {one.pk}) for one in alone), default=emergency.reviews)
    if most >= emergency.reviews:
        return ""
    return (
        f"an emergency approval of it could not be reviewed: that takes {emergency.reviews} others "
        f"who may review (approvals.review_break_glass), and there is {most or 'nobody'}"
    )


def _number(count: int) -> str:
    return NUMBER_WORDS.get(count, str(count))
