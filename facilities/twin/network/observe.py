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


def observe_links(network: Network, state: NetworkState, readings: Mapping[Key, Floats]) -> None:
    """Set ``link_health`` and ``background_gbps`` from the links' readings.

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
    for link in suspects:
        health[0, link] = _health(network, drive, health, int(link), float(util[0, link]))
    state.link_health = np.repeat(health, state.members, axis=0)
    state.background_gbps = np.zeros((state.members, links))
    expected = _expected(network, drive, health)
    seen = util * health * network.link_ratings
    background = np.where(np.isfinite(seen) & enabled, seen - expected.link_gbps, 0.0)
    state.background_gbps = np.repeat(background, state.members, axis=0)


def _as_drive(network: Network, state: NetworkState) -> Drive:
    """Drives under which every GPU works as much as the state's first member does."""
    drive = Drive(network.site)
    busy = state.gpu_util[:1] / np.maximum(state.busy_ratio[:1], 0.05)
    drive["gpu", "demand"][:] = np.clip(busy, 0.0, 1.0)
    return drive


def _expected(network: Network, drive: Drive, health: Floats) -> NetworkState:
    repeated = drive.repeated(len(health))
    repeated["link", "capacity"][:] = health
    return network.initial(repeated)


def _health(network: Network, drive: Drive, health: Floats, link: int, util: float) -> float:
    tried = np.repeat(health, len(CANDIDATES), axis=0)
    tried[:, link] = CANDIDATES
    expected = _expected(network, drive, tried)
    carried = expected.link_gbps[:, link] / (CANDIDATES * network.link_ratings[link])
    # the fuller the link reads, the less of it is left: utilisation falls along the candidates
    falling = np.minimum.accumulate(np.minimum(carried, 1.0))
    if util >= falling[0]:
        return float(CANDIDATES[0])
    if util <= falling[-1]:
        return 1.0
    return float(np.interp(-util, -falling, CANDIDATES))
