"""Which open proposal an occasion belongs to: alarms of one cause make one proposal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from approvals.agent.rank import HARMLESS
from approvals.models import Proposal
from approvals.states import OPEN_STATES, S
from facilities import selectors
from facilities.models import Asset

# Parts of the plant in which one change hides the effect of another: air and water of one hall.
TOGETHER = frozenset({"air", "water"})
# The part of the plant that a person's own proposal changes, by the kind of its target; what is not
# named here (a server, a GPU, a link) holds up nothing but what is about the same asset.
CHANGES = {
    "crac": "air", "hall": "air", "rack": "air",
    "chiller": "water", "pump": "water", "tower": "water", "cdu": "water",
    "ups": "power", "pdu": "power", "generator": "power", "utility": "power",
}  # fmt: skip

# States of a proposal that nobody has signed: nothing is under way.
UNSIGNED = frozenset({S.DRAFT.value, S.SIMULATED.value, S.PENDING.value})


def read_waiting(*, hall: str, asset: str, domain: str) -> dict[str, Any] | None:
    """The open proposal for the same cause, or the change under way that another would disturb.

    {id, title, same, order}: `same` where it is for the same asset, `order` where it is a work order,
    which moves nothing and holds up nothing that protects the plant until the repair. A person's own
    proposal says no cause: once it is signed it counts for the part of the plant that its target
    belongs to (`CHANGES`); before, nothing changes yet, and a fault must not wait for it.
    """
    open_ones = Proposal.objects.filter(state__in=OPEN_STATES, is_drill=False).order_by("pk")
    told = open_ones.only("pk", "title", "kind", "target", "case", "state")
    rows = [p for p in told if _cause(p) or p.state not in UNSIGNED]
    if not rows:
        return None
    mine = [p for p in rows if _cause(p).get("asset", p.target) == asset]
    same = min(mine, key=lambda p: p.kind in HARMLESS, default=None)
    if same is not None:
        return _told(same, same=True)
    targets = {
        tag: (kind, place)
        for tag, kind, place in Asset.objects.filter(tag__in=[p.target for p in rows]).values_list(
            "tag", "kind", "hall__slug"
        )
    }
    for proposal in rows:
        if proposal.kind in HARMLESS:
            continue
        theirs = _cause(proposal)
        if not theirs:
            kind, place = targets.get(proposal.target, ("", ""))
            if place not in (hall, None, ""):
                continue
            theirs = {"asset": proposal.target, "domain": CHANGES.get(kind, "")}
        if _related(theirs, asset, domain):
            return _told(proposal, same=False)
    return None


def read_twin(*, kind: str, target: str) -> dict[str, Any] | None:
    """The open proposal of the very same action, whoever made it, as of `read_waiting`."""
    open_ones = Proposal.objects.filter(state__in=OPEN_STATES, is_drill=False)
    found = open_ones.filter(kind=kind, target=target).order_by("pk").first()
    return _told(found, same=True) if found else None


def holds_up(waiting: Mapping[str, Any] | None, kind: str) -> bool:
    """Whether what waits keeps an action of this kind ("" for none) from being proposed."""
    if waiting is None:
        return False
    return not waiting.get("order") or not kind or kind in HARMLESS


def _told(proposal: Proposal, *, same: bool) -> dict[str, Any]:
    order = proposal.kind in HARMLESS
    return {"id": proposal.pk, "title": proposal.title, "same": same, "order": order}


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
