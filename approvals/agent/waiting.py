"""Which open proposal an occasion belongs to: alarms of one cause make one proposal."""

from __future__ import annotations

from typing import Any

from approvals.agent.rank import HARMLESS
from approvals.models import Proposal
from approvals.states import OPEN_STATES
from facilities import selectors
from facilities.models import Asset

# Parts of the plant in which one change hides the effect of another: air and water of one hall.
TOGETHER = frozenset({"air", "water"})


def read_waiting(*, hall: str, asset: str, domain: str) -> dict[str, Any] | None:
    """The open proposal for the same cause, or the change under way that another would disturb.

    {id, title, same}: `same` where it is for the same asset. A work order disturbs nothing. A
    person's own proposal counts as one of the hall's cooling where its target is.
    """
    open_ones = Proposal.objects.filter(state__in=OPEN_STATES, is_drill=False).order_by("pk")
    rows = list(open_ones.only("pk", "title", "kind", "target", "case"))
    if not rows:
        return None
    same = next((p for p in rows if _cause(p).get("asset", p.target) == asset), None)
    if same is not None:
        return {"id": same.pk, "title": same.title, "same": True}
    halls = dict(
        Asset.objects.filter(tag__in=[p.target for p in rows]).values_list("tag", "hall__slug")
    )
    for proposal in rows:
        if proposal.kind in HARMLESS:
            continue
        theirs = _cause(proposal)
        if theirs:
            disturbs = _related(theirs, asset, domain)
        else:
            disturbs = domain in TOGETHER and halls.get(proposal.target) == hall
        if disturbs:
            return {"id": proposal.pk, "title": proposal.title, "same": False}
    return None


def _cause(proposal: Proposal) -> dict[str, Any]:
    cause = (proposal.case or {}).get("cause")
    return cause if isinstance(cause, dict) else {}


def _related(theirs: dict[str, Any], asset: str, domain: str) -> bool:
    if theirs.get("domain") in TOGETHER and domain in TOGETHER:
        return True
    if theirs.get("domain") != domain:
        return False
    inventory = selectors.inventory()
    mine = str(theirs.get("asset", ""))
    return any(
        reached.tag == mine
        for direction in ("upstream", "downstream")
        for reached in inventory.reached(asset, link="power", direction=direction)
    )
