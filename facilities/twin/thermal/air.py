"""Air of the halls: supply to each rack, recirculation, inlet, outlet, room. One implicit solve.

Racks and units are eliminated by hand: outlet from inlet, inlet and supply from the room, so that
one equation per hall is left and a step of any width is stable. Every stream leaves one node with
the temperature with which it enters the next: heat is neither lost nor made.
"""

from __future__ import annotations

import numpy as np

from facilities.twin.drive import Drive
from facilities.twin.site import Floats

from .constants import ThermalConstants
from .layout import Layout
from .state import ThermalState
from .units import UnitFlows


class Air:
    """The air side; ``step`` moves the temperatures of racks, CRACs, rooms and walls."""

    def __init__(self, layout: Layout, c: ThermalConstants) -> None:
        self.layout, self.c = layout, c
        self.volume_j_m3k = c.air_density_kg_m3 * c.air_cp_j_kgk
        self.rack_j_k = c.rack_j_k + c.rack_j_k_per_w * layout.rack_rated_w
        self.room_j_k = layout.volume_m3 * self.volume_j_m3k * c.room_metal
        self.wall_j_k = layout.hall_racks * c.wall_j_k_per_rack
        self.wall_w_k = layout.hall_racks * c.wall_w_k_per_rack
        self.envelope_w_k = layout.hall_racks * c.envelope_w_k_per_rack
        self.single = layout.halls == 1

    def reaching(self, stream: Floats) -> Floats:
        """What of the units' streams (M, C) reaches each rack (M, R)."""
        if self.single:
            return stream @ self.layout.blocks[0].share
        reaching = np.zeros((len(stream), len(self.layout.rack_hall)))
        for block in self.layout.blocks:
            reaching[:, block.racks] = stream[:, block.cracs] @ block.share
        return reaching

    def at_racks(self, per_hall: Floats) -> Floats:
        return per_hall if self.single else per_hall.take(self.layout.rack_hall, axis=1)

    def at_units(self, per_hall: Floats) -> Floats:
        return per_hall if self.single else per_hall.take(self.layout.crac_hall, axis=1)

    def step(
        self,
        s: ThermalState,
        drive: Drive,
        flows: UnitFlows,
        *,
        rack_w: Floats,
        rack_airflow_m3s: Floats,
        loss_w: Floats,
        dt_s: float,
    ) -> None:
        """Advance by ``dt_s``. ``rack_w`` is what the racks give to the air."""
        c, per_s = self.c, 1.0 / dt_s
        units = self.layout.cracs
        # streams in W/K: what each rack draws, what reaches it, what it takes of that
        flow = np.maximum(rack_airflow_m3s, c.least_rack_flow_m3s)
        s.rack_flow_m3s = flow
        draw = flow * self.volume_j_m3k
        reach = self.reaching(flows.air_w_k)
        cover = reach / draw
        squared = cover * cover
        # x / (1 + x⁴)^(1/4): all of a scarce supply, at most the rack's own flow
        cover /= np.sqrt(np.sqrt(1.0 + squared * squared))
        mixing = drive["rack", "mixing_extra"] + c.mixing
        mixing = mixing + self.at_racks(drive["hall", "containment_open"] * c.containment_mixing)
        np.minimum(np.maximum(mixing, 0.0, out=mixing), 0.95, out=mixing)
        cover *= 1.0 - mixing
        s.recirculation = 1.0 - cover
        taken = draw * cover
        hot = draw - taken
        own = hot * c.own_exhaust
        hot -= own

        # outlet = gain · inlet + rise
        keep = self.rack_j_k * per_s
        through = keep + draw
        gain = draw / through
        rise = (keep * s.outlet_c + rack_w) / through
        # inlet = (aisle + taken · mixed + hot · room) / held
        aisle = c.aisle_j_k * per_s
        held = aisle + draw - own * gain
        start = (aisle * s.inlet_c + own * rise) / held
        # supply = base + slope · room; units at rest exchange with the room through their casing
        coil = c.coil_j_k * per_s
        casing = (flows.air_w_k <= 0.0) * c.stopped_w_k
        exchange = flows.exchange_w_k[:, :units]
        water = s.water_supply_c.take(self.layout.loop_of["crac"], axis=1)
        into = flows.air_w_k + casing
        kept = coil + into
        base = (coil * s.supply_c + s.crac_power_w + exchange * water) / kept
        slope = (into - exchange) / kept
        # mixed supply at the tiles = level + part · room, times what reaches
        both = self.reaching(
            np.concatenate([flows.air_w_k * base, flows.air_w_k * slope], axis=0)
        )
        scale = 1.0 / np.maximum(reach, 1e-9)
        level, part = both[: s.members] * scale, both[s.members :] * scale
        taken /= held
        inlet_0 = start + taken * level
        inlet_1 = (hot / held) + taken * part
        taken *= held

        # room: streams that arrive less streams that leave
        exhaust, bypass = draw - own, reach - taken
        fixed = exhaust * (gain * inlet_0 + rise) + bypass * level
        sloped = hot - exhaust * (gain * inlet_1) - bypass * part
        sum_0 = fixed @ self.layout.hall_rack
        sum_1 = sloped @ self.layout.hall_rack
        sum_0 += (casing * base) @ self.layout.hall_crac
        sum_1 += (into - casing * slope) @ self.layout.hall_crac
        room, wall = self.room_j_k * per_s, self.wall_j_k * per_s
        wall_kept = wall + self.wall_w_k + self.envelope_w_k
        wall_0 = (wall * s.wall_c + self.envelope_w_k * drive["hall", "building_c"]) / wall_kept
        wall_1 = self.wall_w_k / wall_kept
        room_c = (room * s.room_c + sum_0 + self.wall_w_k * wall_0 + loss_w) / (
            room + sum_1 + self.wall_w_k * (1.0 - wall_1)
        )

        at_rack, at_unit = self.at_racks(room_c), self.at_units(room_c)
        s.room_c = room_c
        s.wall_c = wall_0 + wall_1 * room_c
        s.supply_c = base + slope * at_unit
        s.inlet_c = inlet_0 + inlet_1 * at_rack
        s.outlet_c = gain * s.inlet_c + rise
        heat = exchange * (at_unit - water)
        s.unit_heat_w = (
            np.concatenate([heat, s.unit_heat_w[:, units:]], axis=1) if self.layout.cdus else heat
        )

    def to_building_w(self, s: ThermalState, drive: Drive) -> Floats:
        """Heat through the walls to the building, (M, H)."""
        return self.envelope_w_k * (s.wall_c - drive["hall", "building_c"])
