"""What happened the last times: released outcome reports of the same action on the same kind of
asset.

They inform the person who signs; they change no score, and no report makes an action possible.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from approvals.agent.occasion import Occasion
from approvals.agent.rank import Candidate
from approvals.agent.world import World
from approvals.catalogue import KINDS
from approvals.states import ProposalState
from approvals.templatetags.gate import number, unit

if TYPE_CHECKING:
    from rag.models import OutcomeReport

# Reports looked at, newest first, and shown with the proposal.
LOOKED_AT, SHOWN = 50, 3
# Reports that retrieval is asked for, to put the most similar first.
RETRIEVED = 10

S = ProposalState
_ENDINGS = {
    S.NO_EFFECT: "had no effect",
    S.FAILED: "failed",
    S.REJECTED: "was rejected",
    S.EXPIRED: "expired undecided",
    S.CANNOT_TELL: "could not be told",
    S.SUPERSEDED: "was replaced",
    S.ROLLED_BACK: "was rolled back",
}


def read_outcomes(*, kind: str, target_kind: str, query: str) -> dict[str, Any]:
    """Released reports of one action on one kind of asset: how many, in a sentence, and the most
    similar ones.
    """
    from rag.growth.reports import released
    from rag.retrieval.search import search

    reports = list(released(kind=kind, target_kind=target_kind)[:LOOKED_AT])
    if not reports:
        return {"reports": 0, "sentence": "", "shown": []}
    found = search(query=query, k=RETRIEVED, kinds=["report"])
    places = {hit.document: place for place, hit in reversed(list(enumerate(found.hits)))}
    nearest = sorted(reports, key=lambda r: places.get(_slug(r), RETRIEVED))
    return {
        "reports": len(reports),
        "sentence": experience_sentence(latest_of(report.facts for report in reports)),
        "shown": [_cited(report) for report in nearest[:SHOWN]],
        "degraded": found.degraded,
    }


def past_outcomes(*, best: Candidate, occasion: Occasion, world: World) -> list[dict[str, Any]]:
    """Experience with the chosen action as one piece of evidence; empty where there is none."""
    kind = KINDS[best.action.kind]
    query = f"{kind.title} outcome after {occasion.what}"
    found = world.ask(
        "experience",
        "Look up past outcomes",
        given={"query": query},
        live=lambda: read_outcomes(kind=kind.name, target_kind=kind.target_kind, query=query),
        default={"reports": 0, "sentence": "", "shown": []},
        show=lambda a: {**a, "shown": [report["reference"] for report in a["shown"]]},
    )
    if not found["reports"]:
        return []
    return [
        {
            "kind": "experience",
            "text": found["sentence"],
            "count": found["reports"],
            "reports": found["shown"],
        }
    ]


def latest_of(facts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One report per proposal: what was rolled back after its verdict has two, and that counts."""
    found: dict[Any, dict[str, Any]] = {}
    for place, fact in enumerate(facts):
        key = fact.get("proposal", f"report {place}")
        if key not in found or fact["state"] == S.ROLLED_BACK:
            found[key] = fact
    return list(found.values())


def experience_sentence(facts: list[dict[str, Any]]) -> str:
    """What the outcomes of one action kind say, e.g. `3 of 4 times this brought the inlet below
    27 °C within 9 min; once it had no effect; once it was rejected.`
    """
    written = [fact for fact in facts if fact["written"]]
    worked = [fact for fact in written if fact["state"] == S.VERIFIED]
    parts = []
    if written:
        parts.append(f"{len(worked)} of {_times(len(written))} this {_brought(worked or written)}")
    endings = Counter(fact["state"] for fact in facts if fact["state"] in _ENDINGS)
    parts += [
        f"{'once' if count == 1 else f'{count} times'} it {_ENDINGS[S(state)]}"
        for state, count in sorted(endings.items())
    ]
    return "; ".join(parts) + "."


def _brought(facts: list[dict[str, Any]]) -> str:
    goals = {(_quantity(fact["tag"]), fact["direction"]) for fact in facts}
    thresholds = {(fact["threshold"], fact["unit"]) for fact in facts}
    if len(goals) != 1 or len(thresholds) != 1:
        goal = "reached what it promised"
    else:
        [(quantity, direction)], [(threshold, code)] = goals, thresholds
        goal = f"brought the {quantity} {direction} {number(threshold)} {unit(code)}".rstrip()
    slowest = max((fact["seconds"] or 0.0 for fact in facts), default=0.0)
    if not slowest or facts[0]["state"] != S.VERIFIED:
        return goal
    within = f"{slowest:.0f} s" if slowest < 120 else f"{-(-slowest // 60):.0f} min"
    return f"{goal} within {within}"


def _quantity(tag: str) -> str:
    """`rack-1-03.inlet_c` → `inlet`: the unit's suffix says nothing to people."""
    name = tag.rpartition(".")[2]
    return (name.rpartition("_")[0] or name).replace("_", " ")


def _times(count: int) -> str:
    return "1 time" if count == 1 else f"{count} times"


def _slug(report: OutcomeReport) -> str:
    return report.document.slug if report.document else ""


def _cited(report: OutcomeReport) -> dict[str, Any]:
    facts = report.facts
    return {
        "reference": report.reference,
        "title": report.title,
        "url": report.document.get_absolute_url() if report.document else report.url,
        "state": facts["state"],
        "result": S(facts["state"]).label,
        "closed_at": facts["closed_at"],
        "note": report.note,
    }
