"""What fails with what: the facility's links as a graph of consequences. Pure.

Three things can happen to an asset when something before it fails: it loses power, it gets hot, it
is cut off. Each goes on along the links it can go along.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntFlag
from typing import Final, NamedTuple


class Effect(IntFlag):
    """What a failure does to an asset behind it."""

    NONE = 0
    UNPOWERED = 1
    HOT = 2
    ISOLATED = 4
    ALL = 7


class Domain(Enum):
    """What a point tells about."""

    STATE = "state"
    THERMAL = "thermal"
    ELECTRICAL = "electrical"
    NETWORK = "network"
    OTHER = "other"


COOLING_PLANT: Final = frozenset({"chiller", "pump", "crac", "crah", "tower", "cdu"})
NETWORK_TIER: Final = {"spine": 0, "leaf": 1, "switch": 1, "link": 2, "server": 3, "gpu": 4}
"""A network link of the file has no agreed direction: the asset of the lower tier carries the
other. A switch that fails takes its links and servers with it, never the other way round."""

_STATE_NAMES: Final = re.compile(
    r"(^|_)(fault|alarm|trip|tripped|fail|failed|failure|status|state|running|up|down|wet|leak|"
    r"available|open|closed|on_battery|trouble|online|offline)$"
)
_THERMAL_UNITS: Final = frozenset(
    {"Cel", "K", "[degF]", "L/s", "L/min", "m3/s", "m3/h", "Pa", "kPa"}
)
_ELECTRICAL_UNITS: Final = frozenset({"W", "kW", "MW", "V", "kV", "A", "VA", "kVA", "Hz", "kWh"})
_ELECTRICAL_ASSETS: Final = frozenset({"ups", "pdu", "generator", "utility", "ats", "busway"})


def domain_of(*, asset_kind: str, quantity: str, unit: str, is_state: bool) -> Domain:
    """Return what a point of this quantity tells about.

    A state has names for its values (``is_state``), or no dimension and the name of a state.
    """
    if is_state or (unit in ("", "1") and _STATE_NAMES.search(quantity)):
        return Domain.STATE
    if asset_kind in ("link", "leaf", "spine", "switch"):
        return Domain.NETWORK
    if unit in _THERMAL_UNITS or "rh" in quantity or "humidity" in quantity:
        return Domain.THERMAL
    if unit in _ELECTRICAL_UNITS or asset_kind in _ELECTRICAL_ASSETS:
        return Domain.ELECTRICAL
    return Domain.OTHER


SHOWS: Final = {
    Domain.STATE: Effect.UNPOWERED | Effect.ISOLATED,
    Domain.THERMAL: Effect.HOT,
    Domain.ELECTRICAL: Effect.UNPOWERED,
    Domain.NETWORK: Effect.UNPOWERED | Effect.ISOLATED,
    Domain.OTHER: Effect.UNPOWERED,
}
"""Which effects an alarm on a point of the domain can be a sign of."""


class Reach(NamedTuple):
    """What a failure does to an asset, and how many links away it is."""

    effect: Effect
    distance: int


@dataclass(slots=True)
class Topology:
    """Directed links by kind; ``inside``: from a rack or an asset to what is in or part of it."""

    kinds: Mapping[int, str] = field(default_factory=dict)
    power: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    cooling: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    network: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    inside: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    def consequences(self, asset: int, domain: Domain) -> dict[int, Reach]:
        """Return every asset that a failure shown by such a point of ``asset`` can reach.

        A state (tripped, open, down) stops all that the asset gives, and explains its own
        measurements. Warm cooling plant heats what it cools; a hot rack heats what stands in it.
        A measurement of anything else is a symptom and reaches nothing. Breadth first, so the
        distance is the shortest.
        """
        kind = self.kinds.get(asset, "")
        reach: dict[int, Reach] = {}
        queue: deque[tuple[int, Effect, int]] = deque()
        if domain is Domain.STATE:
            reach[asset] = Reach(Effect.ALL, 0)
            start: Iterable[tuple[Effect, list[int]]] = (
                (Effect.UNPOWERED, self.power.get(asset, [])),
                (Effect.HOT, self.cooling.get(asset, [])),
                (Effect.ISOLATED, self.network.get(asset, [])),
                (Effect.UNPOWERED, self.inside.get(asset, [])),
            )
        elif domain is Domain.THERMAL:
            cools = self.cooling.get(asset, []) if kind in COOLING_PLANT else []
            start = ((Effect.HOT, cools), (Effect.HOT, self.inside.get(asset, [])))
        else:
            return {}
        queue.extend((target, effect, 1) for effect, targets in start for target in targets)
        while queue:
            here, effect, distance = queue.popleft()
            if here == asset:
                continue
            known = reach.get(here)
            if known is not None and effect in known.effect:
                continue
            reach[here] = Reach(
                effect | (known.effect if known else Effect.NONE),
                known.distance if known else distance,
            )
            queue.extend((target, next_, distance + 1) for next_, target in self._on(here, effect))
        return reach

    def _on(self, asset: int, effect: Effect) -> Iterable[tuple[Effect, int]]:
        """Where an effect goes from an asset that suffers it."""
        for target in self.inside.get(asset, ()):
            yield effect, target
        if effect is Effect.UNPOWERED:
            for target in self.power.get(asset, ()):
                yield Effect.UNPOWERED, target
            for target in self.cooling.get(asset, ()):
                yield Effect.HOT, target
            for target in self.network.get(asset, ()):
                yield Effect.ISOLATED, target
        elif effect is Effect.HOT and self.kinds.get(asset, "") in COOLING_PLANT:
            for target in self.cooling.get(asset, ()):
                yield Effect.HOT, target
        elif effect is Effect.ISOLATED:
            for target in self.network.get(asset, ()):
                yield Effect.ISOLATED, target


def topology_of(
    *,
    kinds: Mapping[int, str],
    links: Iterable[tuple[str, int, int]],
    inside: Iterable[tuple[int, int]],
) -> Topology:
    """Build the graph. ``links`` are (kind, source, target), ``inside`` (holder, held)."""
    graph = Topology(kinds)
    for kind, source, target in links:
        if kind == "power":
            graph.power[source].append(target)
        elif kind == "cooling":
            graph.cooling[source].append(target)
        elif kind == "network":
            tiers = [NETWORK_TIER.get(kinds.get(asset, ""), 3) for asset in (source, target)]
            if tiers[0] > tiers[1]:
                source, target = target, source
            graph.network[source].append(target)
            if tiers[0] == tiers[1]:
                graph.network[target].append(source)
    for holder, held in inside:
        if holder != held:
            graph.inside[holder].append(held)
    return graph
