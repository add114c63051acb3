"""Work orders for the likely causes: somebody looks, and nothing in the plant moves."""

from __future__ import annotations

from collections.abc import Sequence

from jsonschema import Draft202012Validator

from approvals.agent.causes.base import Hypothesis
from approvals.agent.facts import Facts
from approvals.catalogue import KINDS, Action

ORDER = "open_work_order"
# Causes below this likelihood get no order of their own (assumed).
LEAST = 0.15
# How soon somebody has to look, by the alarm's severity.
PRIORITIES = {"critical": "high", "high": "high", "medium": "medium", "low": "low"}
TITLE_CHARS, TEXT_CHARS = 120, 1500


def with_orders(
    offered: Sequence[Action], *, facts: Facts, causes: Sequence[Hypothesis]
) -> list[Action]:
    """The offered actions, with work orders on the causes' assets in the agent's own words.

    An order that the catalogue's schema does not admit is left out.
    """
    kept = [action for action in offered if action.kind != ORDER]
    kind = KINDS.get(ORDER)
    if kind is None:
        return kept
    seen: set[str] = set()
    for cause in causes:
        if cause.likelihood < LEAST or cause.asset in seen or not cause.helps(ORDER, cause.asset):
            continue
        seen.add(cause.asset)
        action = Action(ORDER, cause.asset, _params(cause, facts))
        try:
            schema = kind.schema(cause.asset, facts.situation)
        except KeyError:
            continue
        if not any(Draft202012Validator(schema).iter_errors(dict(action.params))):
            kept.append(action)
    return kept


def _params(cause: Hypothesis, facts: Facts) -> dict[str, str]:
    occasion = facts.occasion
    check = "Check the sensor" if cause.of_instrument else "Check"
    title = f"{check}: {cause.text}"
    lines = [
        f"{occasion.title}.",
        f"Likely cause: {cause.text} ({100 * cause.likelihood:.0f} %).",
        *(f"For: {text}." for text in cause.evidence),
        *(f"Against: {text}." for text in cause.against),
        *(f"Done when {text}." for text in cause.refuted_by[:1]),
    ]
    return {
        "title": _cut(title[0].upper() + title[1:], TITLE_CHARS),
        "text": _cut(" ".join(lines), TEXT_CHARS),
        "priority": PRIORITIES.get(occasion.severity, "medium"),
    }


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
