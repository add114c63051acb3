"""What racks ask for: servers, switches, and IT that is neither."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from facilities.twin.site import Floats, Site
from facilities.twin.state import Key

from . import chain
from .commands import Commands
from .constants import PowerConstants
from .sources import _or
from .topology import Edges, membership


class ItLoad:
    """IT power of every rack, (M, R)."""

    def __init__(self, site: Site, constants: PowerConstants) -> None:
        self._servers = site.count("server")
        in_rack = membership(site.within("server", "rack"), site.count("rack"))
        self._server_rack = Edges(in_rack)
        leaf_w = _or(site.attribute("leaf", "power_w", np.nan), constants.leaf_w)
        self._leaf_w = leaf_w @ membership(site.within("leaf", "rack"), site.count("rack"))
        self.rated_w = site.attribute("rack", "rated_w", np.inf)
        share = np.asarray(constants.other_it_share, dtype=np.float64)
        rated = _or(site.attribute("rack", "rated_w", np.nan), constants.other_it_rated_w)
        self.general_w = np.atleast_2d(np.where(in_rack.any(axis=0), 0.0, share * rated))
        """Assumed where no drive and no reading says: nothing beside servers, (1 or M, R)."""
        shelves = np.array(
            [bool(a.attributes.get("power_shelf", False)) for a in site.of_kind("rack")], dtype=bool
        )
        # RAPS: one rectifier for four nodes.
        self._rectifiers = shelves * np.ceil(in_rack.sum(axis=0) / 4.0)
        self._shelf = chain.rectifier(constants) if shelves.any() else None

    def rack_w(self, other_w: Floats, told: Commands, server_w: Floats) -> Floats:
        """Demand of each rack; ``other_w`` stands in where the drive is NaN.

        The cap of the rack limits what is no server; servers have theirs from the GPU model.
        """
        given = told.other_w
        other = other_w if given is None else np.where(np.isnan(given), other_w, given)
        other = np.minimum(other, told.other_most_w)
        servers_w = self._server_rack.forward(server_w)
        if self._shelf is not None:
            with_loss = (servers_w + self._shelf.fixed_w * self._rectifiers) / (
                self._shelf.efficiency
            )
            servers_w = np.where(self._rectifiers > 0, with_loss, servers_w)
        other += servers_w
        other += self._leaf_w
        return np.asarray(other)

    def observed_other_w(self, readings: Mapping[Key, Floats]) -> Floats | None:
        """IT of each rack that is no server, (1, R): NaN where readings do not tell."""
        rack_w = readings.get(("rack", "power_w"))
        if rack_w is None:
            return None
        server_w = readings.get(("server", "power_w"), np.full((1, self._servers), np.nan))
        other = rack_w - self._server_rack.forward(np.nan_to_num(server_w)) - self._leaf_w[:1]
        partly = self._server_rack.forward(np.isnan(server_w) * 1.0) > 0
        return np.where(partly | ~(rack_w > 1.0), np.nan, np.maximum(other, 0.0))
