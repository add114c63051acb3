"""What readings say about links that the jobs' model cannot know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from ..drive import Drive
from ..site import Floats
from ..state import Key

if TYPE_CHECKING:
    from .model import Network
    from .state import NetworkState

CANDIDATES: Final[Floats] = np.linspace(0.05, 1.0, 20)
"""Shares of capacity that are tried for a link with symbol errors."""
CLEAR: Final = 0.01
"""Share of the rating that a crossing must add to a link to be told from noise (assumed)."""
LEARNED: Final = 0.1
"""Part of what a later observation moves the crossings by (assumed: bursts are some percent)."""
MOST_CROSSINGS: Final = 4.0
"""assumed: more is no order of servers but other traffic"""


def observe_links(network: Network, state: NetworkState, readings: Mapping[Key, Floats]) -> None:
    """Set ``link_health``, ``background_gbps`` and ``crossings`` from the links' readings.

    A link that is down has health 0. One with symbol errors above the limit carries less than
    rated: its health is the share at which the jobs would load it as much as it reads (tried as
    members of one ensemble). What then remains between reading and model is background.
    """
    links = network.site.count("link")
    if not links:
        return
    unknown = np.full((1, links), np.nan)
    up = readings.get(("link", "up"), unknown)
    errors = readings.get(("link", "error_rate"), unknown)
    util = readings.get(("link", "util_pct"), unknown) / 100.0
    enabled = np.nan_to_num(readings.get(("link", "enabled"), unknown), nan=1.0) > 0.5
    # a link that is switched off says nothing about its health
    health = np.where((np.nan_to_num(up, nan=1.0) > 0.5) | ~enabled, 1.0, 0.0)
    suspects = np.nonzero(
        (np.nan_to_num(errors) > network.parameters.errors_limit) & (health > 0) & np.isfinite(util)
    )[1]
    drive = _as_drive(network, state)
    drive["link", "enabled"][:] = enabled
    if not len(suspects) and (health > 0).all():
        steps_s = readings.get(("job", "step_time_s"))
        _learn_crossings(network, state, drive, util * network.link_ratings, steps_s)
    doubtful = {int(link) for link in suspects}
    for link in suspects:
        beside = _beside(network, int(link), doubtful, health[0], util[0])
        if beside is not None:
            health[0, link] = beside
            continue
        health[0, link] = _health(
            network, drive, health, state.crossings[:1], int(link), float(util[0, link])
        )
    state.link_health = np.repeat(health, state.members, axis=0)
    state.background_gbps = np.zeros((state.members, links))
    expected = _expected(network, drive, health, state.crossings[:1])
    seen = util * health * network.link_ratings
    background = np.where(np.isfinite(seen) & enabled, seen - expected.link_gbps, 0.0)
    state.background_gbps = np.repeat(background, state.members, axis=0)


def _beside(
    network: Network, link: int, doubtful: set[int], health: Floats, util: Floats
) -> float | None:
    """Share of capacity left, from links that ECMP loads alike: those of the same leaf that are
    well. None where there is none, or where they carry nothing to compare.
    """
    fabric = network.fabric
    ends = {int(edge): number for number, edge in enumerate(fabric.edge_of_link) if edge >= 0}
    own = fabric.edge_of_link[link]
    if own < 0:
        return None
    leaves = [
        end
        for end in (fabric.edges[own].a, fabric.edges[own].b)
        if network.site.locate(end).kind == "leaf"
    ]
    loads = [
        util[other] * network.link_ratings[other]
        for edge, other in ends.items()
        if other not in doubtful
        and health[other] == 1.0
        and np.isfinite(util[other])
        and {fabric.edges[edge].a, fabric.edges[edge].b} & set(leaves)
    ]
    if len(leaves) != 1 or not loads or max(loads) < CLEAR * network.link_ratings[link]:
        return None
    expected = float(np.mean(loads))
    full = max(float(util[link]) * network.link_ratings[link], 1e-9)
    return float(np.clip(expected / full, CANDIDATES[0], 1.0))


def _as_drive(network: Network, state: NetworkState) -> Drive:
    """Drives under which every GPU works as much as the state's first member does."""
    drive = Drive(network.site)
    busy = state.gpu_util[:1] / np.maximum(state.busy_ratio[:1], 0.05)
    drive["gpu", "demand"][:] = np.clip(busy, 0.0, 1.0)
    return drive


def _expected(network: Network, drive: Drive, health: Floats, crossings: Floats) -> NetworkState:
    repeated = drive.repeated(len(health))
    repeated["link", "capacity"][:] = health
    return network.settled(repeated, crossings=crossings)


def _learn_crossings(
    network: Network,
    state: NetworkState,
    drive: Drive,
    seen_gbps: Floats,
    steps_s: Floats | None,
) -> None:
    """How often rings cross between switches, from what healthy links carry (least squares).

    The first time it is taken as it is, later it moves by ``LEARNED``. A site whose links carry
    less than with servers in order (a job that rests) teaches nothing.
    """
    tried = np.array([[1.0], [2.0]])
    found_both = _expected(network, drive, np.ones((2, seen_gbps.shape[1])), tried)
    both = found_both.link_gbps
    if steps_s is not None and state.running.any():
        # jobs that step quicker than the model load their links more often
        known = np.isfinite(steps_s[0]) & (steps_s[0] > 0) & (state.running[0] > 0)
        if known.any():
            both = both * float(np.median(found_both.step_time_s[0, known] / steps_s[0, known]))
    slope = both[1] - both[0]
    more = seen_gbps[0] - both[0]
    use = np.isfinite(more) & (slope > CLEAR * network.link_ratings)
    if not use.any():
        return
    found = 1.0 + float(slope[use] @ more[use]) / float(slope[use] @ slope[use])
    if found < 0.9:
        return
    found = min(max(found, 1.0), MOST_CROSSINGS)
    before = state.crossings
    state.crossings = np.where(before == 1.0, found, before + LEARNED * (found - before))


def _health(
    network: Network, drive: Drive, health: Floats, crossings: Floats, link: int, util: float
) -> float:
    tried = np.repeat(health, len(CANDIDATES), axis=0)
    tried[:, link] = CANDIDATES
    expected = _expected(network, drive, tried, crossings.repeat(len(tried), axis=0))
    carried = expected.link_gbps[:, link] / (CANDIDATES * network.link_ratings[link])
    # the fuller the link reads, the less of it is left: utilisation falls along the candidates
    falling = np.minimum.accumulate(np.minimum(carried, 1.0))
    if util >= falling[0]:
        return float(CANDIDATES[0])
    if util <= falling[-1]:
        return 1.0
    return float(np.interp(-util, -falling, CANDIDATES))
