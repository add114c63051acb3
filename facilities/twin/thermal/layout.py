"""What of a site the thermal model needs, worked out once: indices, ratings, reach."""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx
import numpy as np

from facilities.twin.site import Flags, Floats, Ints, Site, SiteError

from .constants import ThermalConstants
from .exchangers import rated_ua_w_k

PLANT = ("pump", "chiller", "tower", "crac", "cdu")
"""Kinds of the cooling plant; pumps, then chillers are the machines of a sequence."""


@dataclass(frozen=True)
class Block:
    """Racks and CRACs of one hall, and the share of each unit's air at each rack's tiles."""

    cracs: Ints
    racks: Ints
    share: Floats  # (cracs, racks), rows sum to one


class Layout:
    """Index arrays and ratings by asset; ``one_hot`` matrices sum assets by hall or loop."""

    def __init__(self, site: Site, c: ThermalConstants) -> None:
        self.site = site
        self.halls = len(site.halls) or int(site.count("rack") + site.count("crac") > 0)
        self.rack_hall = _hall(site, "rack")
        self.crac_hall = _hall(site, "crac")
        self.hall_rack = one_hot(self.rack_hall, self.halls)
        self.hall_crac = one_hot(self.crac_hall, self.halls)
        self.loops = self._loops()
        self.rack_rated_w = site.attribute("rack", "rated_w", 8000.0)
        per_hall = np.maximum(self.hall_rack.sum(axis=0), 1.0)
        self.hall_racks = per_hall
        self.volume_m3 = np.array(
            [
                float(asset.attributes.get("volume_m3", count * c.room_m3_per_rack))
                for asset, count in zip(site.of_kind("hall"), per_hall, strict=False)
            ]
            or per_hall * c.room_m3_per_rack
        )
        self._rate_units(c)
        self._rate_plant(c)
        self._liquid()
        self.blocks = self._reach(c)

    def _loops(self) -> int:
        """Chilled-water loops are what cooling links connect; units without a link join the only
        loop there is.
        """
        graph = nx.Graph()
        for kind in PLANT:
            graph.add_nodes_from(self.site.tags(kind))
        for link in self.site.links:
            if link.kind == "cooling" and link.source in graph and link.target in graph:
                graph.add_edge(link.source, link.target)
        sources = set(self.site.tags("chiller")) | set(self.site.tags("pump"))
        parts = [part for part in nx.connected_components(graph) if part & sources]
        if not parts:
            parts = [set(graph.nodes)]
        loop = {tag: number for number, part in enumerate(parts) for tag in part}
        self.loop_of: dict[str, Ints] = {}
        for kind in PLANT:
            for tag in self.site.tags(kind):
                if tag not in loop and len(parts) > 1:
                    raise SiteError(
                        f"{kind} {tag} has no cooling link to a pump or a chiller, and the site "
                        f"has {len(parts)} chilled-water loops; link it to one"
                    )
            self.loop_of[kind] = np.array(
                [loop.get(tag, 0) for tag in self.site.tags(kind)], dtype=np.int64
            )
        return len(parts)

    def _rate_units(self, c: ThermalConstants) -> None:
        site = self.site
        air = c.air_density_kg_m3 * c.air_cp_j_kgk
        self.cracs: int = site.count("crac")
        self.cdus: int = site.count("cdu")
        self.crac_flow_m3s = site.attribute("crac", "airflow_m3s", 6.0)
        self.crac_fan_w = site.attribute("crac", "fan_w", 7500.0)
        self.cdu_lps = site.attribute("cdu", "flow_lps", 1.2)
        self.cdu_pump_w = site.attribute("cdu", "pump_w", 1500.0)
        heat = np.concatenate(
            [
                site.attribute("crac", "sensible_w", 90_000.0),
                site.attribute("cdu", "cooling_w", 60_000.0),
            ]
        )
        self.unit_cold_w_k = heat / c.coil_rise_k
        self.unit_hot_w_k = np.concatenate(
            [self.crac_flow_m3s * air, self.cdu_lps * c.water_cp_j_kgk]
        )
        ua = rated_ua_w_k(
            heat, c.coil_air_c - c.coil_water_c, self.unit_hot_w_k, self.unit_cold_w_k
        )
        given = site.attribute("cdu", "exchanger_w_k", np.nan)
        ua[self.cracs :] = np.where(np.isnan(given), ua[self.cracs :], given)
        self.unit_ua_w_k = ua
        self.unit_loop = np.concatenate([self.loop_of["crac"], self.loop_of["cdu"]])
        self.loop_unit = one_hot(self.unit_loop, self.loops)

    def _rate_plant(self, c: ThermalConstants) -> None:
        site = self.site
        self.pumps, self.chillers = site.count("pump"), site.count("chiller")
        self.pump_lps = site.attribute("pump", "flow_lps", 12.0)
        self.pump_w = site.attribute("pump", "power_w", 5500.0)
        self.chiller_cap_w = site.attribute("chiller", "cooling_w", 250_000.0)
        self.chiller_cop = site.attribute("chiller", "cop", np.nan)
        self.loop_pump = one_hot(self.loop_of["pump"], self.loops)
        self.loop_chiller = one_hot(self.loop_of["chiller"], self.loops)
        self.loop_tower = one_hot(self.loop_of["tower"], self.loops)
        duty = np.array(
            [
                float(asset.attributes.get("role", "duty") != "standby")
                for kind in ("pump", "chiller")
                for asset in site.of_kind(kind)
            ]
        )
        self.duty, self.standby = duty, 1.0 - duty
        group = np.concatenate([self.loop_of["pump"], self.loops + self.loop_of["chiller"]])
        self.group = group
        self.group_machine = one_hot(group, 2 * self.loops)
        design = (self.pump_lps * duty[: self.pumps]) @ self.loop_pump
        every = self.pump_lps @ self.loop_pump
        self.loop_lps = np.where(design > 0, design, np.where(every > 0, every, 1.0))
        self.tower_heat_w = site.attribute("tower", "heat_w", 320_000.0)
        self.tower_fan_w = site.attribute("tower", "fan_w", 7500.0)
        self.tower_pump_w = site.attribute("tower", "pump_w", 4000.0)
        self.tower_lps = site.attribute("tower", "flow_lps", 14.0)
        self.loop_tower_lps = self.tower_lps @ self.loop_tower
        self.has_tower = self.loop_tower_lps > 0

    def _liquid(self) -> None:
        """Racks with cold plates and the CDU that serves each."""
        links = self.site.linked("cooling", "cdu", "rack")
        share = self.site.attribute("rack", "liquid_fraction", 0.0)
        served: Flags = np.zeros(len(share), dtype=bool)
        if len(links):
            served = np.asarray(links.any(axis=0))
        for rack, fraction, has in zip(self.site.of_kind("rack"), share, served, strict=True):
            if fraction > 0 and not has:
                raise SiteError(
                    f"rack {rack.tag} has liquid_fraction {fraction} but no cooling link from a cdu"
                )
        self.liquid = np.flatnonzero((share > 0) & served)
        self.liquid_share = share[self.liquid]
        self.liquid_cdu = (
            links.argmax(axis=0)[self.liquid] if len(links) else np.zeros(0, dtype=np.int64)
        )
        self.cdu_liquid = one_hot(self.liquid_cdu, self.cdus)

    def _reach(self, c: ThermalConstants) -> list[Block]:
        """Tiles near a unit get more of its air: u + (1 - u) / (1 + (d / reach)²), times the tiles
        of the rack, scaled so that a unit's air is neither lost nor made.
        """
        tiles = (self.rack_rated_w**c.tile_power) * np.mean(np.atleast_2d(c.tile), axis=0)
        place = {
            kind: np.stack(
                [self.site.attribute(kind, name, np.nan) for name in ("x_m", "y_m")], axis=1
            )
            for kind in ("rack", "crac")
        }
        blocks = []
        for hall in range(self.halls):
            racks = np.flatnonzero(self.rack_hall == hall)
            cracs = np.flatnonzero(self.crac_hall == hall)
            apart = place["crac"][cracs][:, None, :] - place["rack"][racks][None, :, :]
            squared = np.nan_to_num((apart**2).sum(axis=2)) / c.reach_m**2
            weight = (c.reach_uniform + (1 - c.reach_uniform) / (1 + squared)) * tiles[racks]
            total = weight.sum(axis=1, keepdims=True)
            blocks.append(Block(cracs, racks, weight / np.where(total > 0, total, 1.0)))
        return blocks


def one_hot(index: Ints, columns: int) -> Floats:
    """Matrix (assets, columns) with a 1 where the asset belongs; ``x @ matrix`` sums by column."""
    matrix = np.zeros((len(index), columns))
    matrix[np.arange(len(index)), index] = 1.0
    return matrix


def _hall(site: Site, kind: str) -> Ints:
    """Hall of each asset. Raises ``SiteError`` for one without."""
    halls = site.hall_of(kind)
    if len(site.halls) <= 1:
        return np.zeros(len(halls), dtype=np.int64)
    for asset, hall in zip(site.of_kind(kind), halls, strict=True):
        if hall < 0:
            raise SiteError(f"{kind} {asset.tag} names no hall of the site; set its hall")
    return halls
