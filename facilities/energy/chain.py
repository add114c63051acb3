"""The power chain as the live twin sees it: loads, margins, single points, what a loss would do."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np

from facilities.tracking.live import Live, current
from facilities.twin.power import Power, PowerState
from facilities.twin.power.failover import Contingency, contingencies
from facilities.twin.power.redundancy import CHAIN, SinglePoint, Stage, single_points, stages
from facilities.twin.power.state import LOADS
from facilities.twin.site import Floats
from facilities.twin.state import Values

GROUP_NAMES: Final = {
    "rack": "racks",
    "crac": "CRACs",
    "cdu": "CDUs",
    "chiller": "chillers",
    "pump": "pumps",
    "tower": "towers",
}

LOADINGS: Final = 20
"""Elements named for each contingency, the most loaded first."""


@dataclass(frozen=True, slots=True)
class Node:
    """A source, UPS or PDU. ``state``: on, off, battery, bypass, tripped, standby, lost.

    ``failover_share`` is the highest share of its rating that any single loss puts on it.
    """

    tag: str
    kind: str
    level: int
    power_w: float
    rated_w: float | None
    share: float | None
    state: str
    detail: str
    failover_share: float | None


@dataclass(frozen=True, slots=True)
class Group:
    """Loads of a kind with the same feeds, drawn as one."""

    label: str
    kind: str
    tags: tuple[str, ...]
    feeds: tuple[str, ...]
    power_w: float
    powered: int


@dataclass(frozen=True)
class PowerChain:
    """Everything that the one-line diagram shows."""

    at: datetime
    followed: bool
    nodes: list[Node]
    groups: list[Group]
    edges: list[tuple[str, str]]
    stages: list[Stage]
    single_points: list[SinglePoint]
    contingencies: list[Contingency]


def power_chain(live: Live | None = None) -> PowerChain:
    """The chain now. Raises ``SiteError`` for a data list that cannot be simulated."""
    live = live or current()
    twin, state, drive = live.twin, live.state, live.drive
    power, electric = twin.power, state.power
    values = power.values(electric, drive)
    found = contingencies(
        power,
        electric,
        drive,
        server_w=state.gpu.server_w,
        mechanical_w=twin.thermal.mechanical_w(state.thermal),
    )
    site = power.site
    load_w = {
        "ups": float(electric.ups_w[0].sum()),
        "pdu": float(electric.pdu_w[0].sum()),
        "generator": float(electric.utility_w[0].sum() + electric.generator_w[0].sum()),
    }
    rated = {
        "ups": power.ups_rated_w[0],
        "pdu": power.pdu_rated_w[0],
        "generator": power.sources.rated_w[0],
    }
    return PowerChain(
        live.at,
        live.followed,
        _nodes(power, electric, values, found),
        _groups(power, electric),
        [
            (link.source, link.target)
            for link in site.links
            if link.kind == "power"
            and site.place[link.source].kind in CHAIN
            and site.place[link.target].kind in CHAIN
        ],
        stages(site, rated_w=rated, load_w=load_w),
        single_points(site),
        [_shortened(item) for item in found],
    )


def _shortened(item: Contingency) -> Contingency:
    heavy = sorted(item.loadings, key=lambda loading: -loading.share)
    return replace(item, loadings=tuple(heavy[:LOADINGS]))


def _nodes(power: Power, state: PowerState, values: Values, found: list[Contingency]) -> list[Node]:
    worst: dict[str, float] = defaultdict(float)
    for item in found:
        for loading in item.loadings:
            worst[loading.tag] = max(worst[loading.tag], loading.share)
    site = power.site
    nodes = []
    ratings = {
        "ups": power.ups_rated_w[0],
        "pdu": power.pdu_rated_w[0],
        "generator": power.sources.rated_w[0],
    }
    for level, kinds in enumerate((("utility", "generator"), ("ups",), ("pdu",))):
        for kind in kinds:
            quantity = "load_w" if kind == "ups" else "power_w"
            for row, tag in enumerate(site.tags(kind)):
                watts = float(values[kind, quantity][0, row])
                rating = float(ratings[kind][row]) if kind in ratings else None
                said, detail = _state(power, state, values, kind, row)
                nodes.append(
                    Node(
                        tag,
                        kind,
                        level,
                        watts,
                        rating,
                        watts / rating if rating else None,
                        said,
                        detail,
                        worst.get(tag),
                    )
                )
    return nodes


def _state(power: Power, state: PowerState, values: Values, kind: str, row: int) -> tuple[str, str]:
    if kind == "utility":
        return ("on", "") if values["utility", "available"][0, row] > 0.5 else ("lost", "")
    if kind == "generator":
        fuel = f"fuel {values['generator', 'fuel_pct'][0, row]:.0f} %"
        if values["generator", "start_fail"][0, row] > 0.5:
            return "tripped", "does not start"
        running = values["generator", "running"][0, row] > 0.5
        return ("on" if running else "standby"), fuel
    if kind == "ups":
        minutes = values["ups", "runtime_s"][0, row] / 60.0
        charge = values["ups", "battery_pct"][0, row]
        detail = f"battery {minutes:.0f} min" + (f", {charge:.0f} %" if charge < 99.5 else "")
        if state.ups_out[0, row] < 0.5:
            return "off", detail
        if values["ups", "on_battery"][0, row] > 0.5:
            return "battery", detail
        return ("bypass" if state.ups_latched[0, row] > 0.5 else "on"), detail
    closed = values["pdu", "breaker_closed"][0, row] > 0.5
    amps = f"{values['pdu', 'current_a'][0, row]:.0f} A"
    if not closed:
        return "tripped", "breaker open"
    return ("on" if state.pdu_on[0, row] > 0.5 else "off"), amps


def _groups(power: Power, state: PowerState) -> list[Group]:
    site = power.site
    feeds: dict[str, list[str]] = defaultdict(list)
    for link in site.links:
        if link.kind == "power":
            feeds[link.target].append(link.source)
    columns: dict[str, Floats] = {
        kind: state.load_w[0, place] for kind, place in power.feeds.loads.items()
    }
    members: dict[tuple[str, tuple[str, ...]], list[int]] = defaultdict(list)
    for kind in LOADS:
        for row, tag in enumerate(site.tags(kind)):
            members[kind, tuple(sorted(feeds[tag]))].append(row)
    groups = []
    for (kind, sources), rows in members.items():
        on = state.powered[kind][0, rows]
        tags = tuple(site.tags(kind)[row] for row in rows)
        name = tags[0] if len(tags) == 1 else f"{len(tags)} {GROUP_NAMES[kind]}"
        groups.append(
            Group(
                name, kind, tags, sources, float(np.sum(columns[kind][rows])), int((on > 0.5).sum())
            )
        )
    return groups
