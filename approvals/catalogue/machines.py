"""What starting and stopping pumps, chillers, CDUs and cooling towers have in common."""

from __future__ import annotations

from typing import NamedTuple

from approvals.catalogue.base import Condition
from approvals.catalogue.situation import Situation

KINDS = ("pump", "chiller", "cdu", "tower")
# Share of their rated capacity that the machines left may be loaded to (assumed).
FULL = 0.9
# Water in a ring answers slower than air: times the effect window (assumed; EOP-CHW-01 and
# EOP-CHW-02 give four to five minutes).
SLOWER = 2.5


class Goal(NamedTuple):
    """What a running machine shows: a point that goes `direction` of `threshold`."""

    quantity: str
    direction: str
    threshold: float
    unit: str
    says: str


# Figures: EOP-CHW-01 (12 L/s from one pump, 7 to 8 from each of two), the alarms "Chilled water
# supply warm" (14 °C), "Technology water warm" (40 °C) and "Condenser water warm" (33 °C).
GOALS: dict[str, Goal] = {
    "pump": Goal("flow_lps", "above", 6.0, "L/s", "gives more than 6 L/s"),
    "chiller": Goal("supply_c", "below", 14.0, "Cel", "keeps the chilled water below 14 °C"),
    "cdu": Goal("supply_c", "below", 40.0, "Cel", "keeps the technology water below 40 °C"),
    "tower": Goal("leaving_c", "below", 33.0, "Cel", "keeps the condenser water below 33 °C"),
}


def served_by(kind: str, target: str, situation: Situation) -> list[Condition]:
    """What a machine of this kind needs before it can do anything."""
    if kind != "chiller":
        return []
    conditions = []
    for needed, what in (("pump", "chilled-water pump"), ("tower", "cooling tower")):
        near = situation.upstream(target, link="cooling") + situation.downstream(
            target, link="cooling"
        )
        tags = tuple(tag for tag in sorted(set(near)) if situation.kind_of(tag) == needed)
        if tags:
            tag = situation.first_running(tags)
            conditions.append(
                Condition(f"{tag}.running", ">=", 1, f"a {what} must run, or the chiller trips")
            )
    return conditions


def left_without(kind: str, target: str, situation: Situation) -> list[Condition]:
    """What must hold so that the plant can do without `target`.

    Peers that run carry the load; where none does, nothing may need the machine any more.
    """
    peers = [m for m in situation.peers(target, link="cooling") if _runs(m, situation)]
    conditions = [
        condition
        for peer in peers
        for condition in (
            Condition(f"{peer}.running", ">=", 1, f"{situation.name(peer)} has to carry the load"),
            Condition(f"{peer}.fault", "<", 1, f"{situation.name(peer)} has to be healthy"),
        )
    ]
    if not peers:
        return [*conditions, *_nobody_needs(kind, target, situation)]
    if kind == "chiller":
        return [*conditions, *_carried(target, peers, situation)]
    if kind == "pump":
        why = "another pump must show flow before this one stops (MOP-CHW-03 step 2)"
        conditions += [Condition(f"{peers[0]}.flow_lps", ">=", 3.0, why)]
    return conditions


def _runs(tag: str, situation: Situation) -> bool:
    found = situation.machine(tag)
    return found is not None and found.running and not found.fault


def _carried(target: str, peers: list[str], situation: Situation) -> list[Condition]:
    """No running chiller is loaded above the share at which those left could carry them all."""
    mine = situation.machine(target)
    left_w = sum(m.capacity_w for m in situation.machines if m.tag in peers)
    all_w = left_w + (mine.capacity_w if mine else 0.0)
    limit = round(100 * FULL * left_w / all_w, 1) if all_w else 0.0
    why = f"the machines left carry all of the load while none is above {limit:g} %"
    return [Condition(f"{tag}.load_pct", "<=", limit, why) for tag in (target, *peers)]


def _nobody_needs(kind: str, target: str, situation: Situation) -> list[Condition]:
    """Without a peer that runs: everything behind the machine must be off."""
    behind = situation.downstream(target, link="cooling")
    kinds = {"pump": ("crac", "cdu"), "chiller": ("pump",), "tower": ("chiller",)}.get(kind)
    if kinds is None:  # a CDU: the racks whose cold plates hang on it must be drained
        return [
            Condition(
                f"{tag}.power_w", "<=", 3000.0,
                f"no other unit cools {situation.name(tag)}: drain it first (EOP-CDU-01 step 3)",
            )
            for tag in behind
            if situation.kind_of(tag) == "rack"
        ]  # fmt: skip
    return [
        Condition(
            f"{tag}.running", "<", 1,
            f"nothing else would serve {situation.name(tag)}, so it must stand still first",
        )
        for tag in behind
        if situation.kind_of(tag) in kinds
    ]  # fmt: skip
