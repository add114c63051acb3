"""The case for and against a proposal, as the card shows it: how sure, what speaks against it, and
what would change the agent's mind. Signed with the proposal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from approvals.agent.calibration import confidence_of
from approvals.agent.causes.base import Hypothesis
from approvals.agent.facts import Facts
from approvals.agent.rank import HARMLESS, NOTHING, Candidate, ranked
from approvals.prediction import usable
from approvals.templatetags.gate import unit

OPPOSITE = {">=": "falls below", ">": "falls to", "<": "rises to", "<=": "rises above",
            "==": "is no longer", "!=": "becomes"}  # fmt: skip
# Two causes closer than this are hard to tell apart (assumed).
CLOSE = 0.25


def case_for(
    best: Candidate,
    *,
    facts: Facts,
    causes: Sequence[Hypothesis],
    candidates: Sequence[Candidate],
    hall: Mapping[str, Any],
    nothing: Mapping[str, Any],
    choice: Mapping[str, Any],
    stopped: str,
) -> dict[str, Any]:
    """{cause, confidence, uncertainty, counter_evidence, would_change, hypotheses, alternatives}."""
    leading = causes[0]
    return {
        "cause": {"asset": leading.asset, "text": leading.text, "domain": leading.domain},
        "confidence": confidence_of(leading.likelihood),
        "uncertainty": _uncertainty(best, facts, causes, hall, stopped),
        "counter_evidence": _counter(best, leading, candidates, nothing, choice),
        "would_change": _would_change(best, facts, causes),
        "hypotheses": [cause.as_dict() for cause in causes],
        "alternatives": _alternatives(best, candidates),
    }


def _alternatives(best: Candidate, candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    """What else could be signed: beside a change that protects, the work order for the repair comes
    first.
    """
    others = [c for c in ranked(candidates) if c.label != best.label and c.score > 0]
    if best.action.kind not in HARMLESS:
        order = next((c for c in others if c.action.kind in HARMLESS), None)
        others = [*([order] if order else []), *(c for c in others if c is not order)]
    return [{"action": c.title, "score": round(c.score, 3)} for c in others[:3]]


def _uncertainty(
    best: Candidate,
    facts: Facts,
    causes: Sequence[Hypothesis],
    hall: Mapping[str, Any],
    stopped: str,
) -> list[str]:
    told = []
    if len(causes) > 1 and causes[0].likelihood - causes[1].likelihood < CLOSE:
        told.append(
            f"It may as well be that {causes[1].text} "
            f"({100 * causes[1].likelihood:.0f} % against {100 * causes[0].likelihood:.0f} %)."
        )
    rest = 1 - sum(cause.likelihood for cause in causes)
    if rest > 0.1:
        told.append(f"{100 * rest:.0f} % is left for causes that no rule knows.")
    taken = hall["snapshot"]
    if not taken["complete"]:
        told.append(
            f"The state was not complete: {', '.join(taken['missing_sources'])} had not reported."
        )
    if best.prediction is None or not best.expectation.tag:
        told.append("The twin was not asked: it does not model this.")
    elif best.prediction.get("problem"):
        told.append(str(best.prediction["problem"]))
    elif not usable(best.prediction):
        told.append(f"The twin's word does not count: {best.prediction['fit']['text']}")
    doubted = sorted({c.tag for c in best.checked} & set(facts.doubts))
    if doubted:
        told.append(f"The quality tests doubt {', '.join(doubted)}, which its conditions rest on.")
    if stopped:
        told.append(f"The agent stopped early: {stopped}.")
    return told


def _counter(
    best: Candidate,
    leading: Hypothesis,
    candidates: Sequence[Candidate],
    nothing: Mapping[str, Any],
    choice: Mapping[str, Any],
) -> list[str]:
    told = [f"{text[0].upper()}{text[1:]}." for text in leading.against]
    made = best.prediction or {}
    if made.get("added"):
        first = made["added"][0]
        told.append(f"The twin expects {first['rule']} on {first['point']} with this.")
    if usable(best.prediction) and best.predicted is None:
        told.append(f"The twin expects no harm from doing nothing: {nothing['prediction']}.")
    voted = choice.get("choice", "")
    if voted == NOTHING:
        told.append("The language model would do nothing.")
    elif voted and voted != best.label:
        other = next((c.title for c in candidates if c.label == voted), "")
        if other:
            told.append(f"The language model would rather: {other}.")
    return told


def _would_change(best: Candidate, facts: Facts, causes: Sequence[Hypothesis]) -> list[str]:
    """Concrete observations: what makes the cause wrong, the action impossible, or needless."""
    told = [f"If {text}." for text in causes[0].refuted_by]
    for checked in best.checked:
        op, _, value = checked.expected.partition(" ")
        told.append(f"If {checked.tag} {OPPOSITE[op]} {value}.")
    expected = best.expectation
    if expected.tag:
        good = "below" if expected.direction == "below" else "above"
        margin = -1 if expected.direction == "below" else 1
        told.append(
            f"If {expected.tag} stays {good} {expected.threshold + margin:g} "
            f"{unit(expected.unit)} for 2 min without it."
        )
    if len(causes) > 1 and causes[1].evidence:
        told.append(f"If it turns out that {causes[1].text}.")
    return list(dict.fromkeys(told))[:7]
