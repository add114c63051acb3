"""Air of the halls: supply to each rack, recirculation, inlet, outlet, room. One implicit solve.

Racks and units are eliminated by hand: outlet from inlet, inlet and supply from the room, so that
one equation per hall is left and a step of any width is stable. Every stream leaves one node with
the temperature with which it enters the next: heat is neither lost nor made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facilities.twin.site import Floats

from .commands import Commands
from .constants import ThermalConstants
from .layout import Layout
from .state import ThermalState
from .units import UnitFlows

# scalars as arrays: NumPy takes twice as long with a number of Python
_ZERO, _ONE = np.array(0.0), np.array(1.0)
_LEAST = np.array(1e-9)


@dataclass(frozen=True)
class Rates:
    """Heat capacities divided by the width of a step, W/K; the walls' shares of their balance.

    All have every member: NumPy takes three times as long where it has to broadcast.
    """

    dt_s: float
    members: int
    aisle: Floats
    rack: Floats
    coil: Floats
    room: Floats
    wall: Floats  # share of the wall's own past in its new temperature
    outer: Floats  # of the building
    inner: Floats  # of the room
    still: Floats  # what holds the room's temperature besides the air
    wall_w_k: Floats  # from the room into the wall
    own_exhaust: Floats  # by rack
    stopped: Floats  # by unit, to the room through the casing of one at rest


class Air:
    """The air side; ``step`` moves the temperatures of racks, CRACs, rooms and walls."""

    def __init__(self, layout: Layout, c: ThermalConstants) -> None:
        self.layout, self.c = layout, c.arrays()
        self.volume_j_m3k = c.air_density_kg_m3 * c.air_cp_j_kgk
        self.rack_j_k = c.rack_j_k + c.rack_j_k_per_w * layout.rack_rated_w
        self._volume_j_m3k = np.asarray(self.volume_j_m3k)
        self.room_j_k = layout.volume_m3 * self.volume_j_m3k * c.room_metal
        self.wall_j_k = layout.hall_racks * c.wall_j_k_per_rack
        self.wall_w_k = layout.hall_racks * c.wall_w_k_per_rack
        self.envelope_w_k = layout.hall_racks * c.envelope_w_k_per_rack
        self.single = layout.halls == 1
        self._kept: Rates | None = None

    def reaching(self, stream: Floats) -> Floats:
        """What of the units' streams (M, C) reaches each rack (M, R)."""
        if self.single:
            return stream @ self.layout.blocks[0].share
        reaching = np.zeros((len(stream), len(self.layout.rack_hall)))
        for block in self.layout.blocks:
            reaching[:, block.racks] = stream[:, block.cracs] @ block.share
        return reaching

    def at_racks(self, per_hall: Floats) -> Floats:
        return per_hall.take(self.layout.rack_hall, axis=1)

    def at_units(self, per_hall: Floats) -> Floats:
        return per_hall.take(self.layout.crac_hall, axis=1)

    def step(
        self,
        s: ThermalState,
        k: Commands,
        flows: UnitFlows,
        *,
        rack_w: Floats,
        rack_airflow_m3s: Floats,
        loss_w: Floats,
        dt_s: float,
    ) -> None:
        """Advance by ``dt_s``. ``rack_w`` is what the racks give to the air."""
        c, per, layout = self.c, self._rates(dt_s, k.members), self.layout
        units, air_w_k = layout.cracs, flows.air_w_k
        # streams in W/K: what each rack draws, what reaches it, what it takes of that
        flow = np.maximum(rack_airflow_m3s, c.least_rack_flow_m3s)
        s.rack_flow_m3s = flow
        draw = flow * self._volume_j_m3k
        reach = self.reaching(air_w_k)
        cover = reach / draw
        # x / (1 + x⁴)^(1/4): all of a scarce supply, at most the rack's own flow
        fourth = cover * cover
        fourth *= fourth
        fourth += _ONE
        cover /= np.sqrt(np.sqrt(fourth, out=fourth), out=fourth)
        cover *= k.fresh
        s.recirculation = _ONE - cover
        taken = draw * cover
        hot = draw - taken
        own = hot * per.own_exhaust
        hot -= own

        # outlet = gain · inlet + rise
        through = per.rack + draw
        gain = draw / through
        rise = per.rack * s.outlet_c
        rise += rack_w
        rise /= through
        # inlet = start + taken · mixed + hot · room
        held = own * gain
        np.subtract(draw, held, out=held)
        held += per.aisle
        start = own * rise
        start += per.aisle * s.inlet_c
        start /= held
        # supply = base + slope · room; units at rest exchange with the room through their casing
        casing = (air_w_k <= _ZERO).astype(np.float64)
        casing *= per.stopped
        exchange = flows.exchange_w_k[:, :units]
        water = s.water_supply_c.take(layout.loop_of["crac"], axis=1)
        into = air_w_k + casing
        kept = into + per.coil
        base = per.coil * s.supply_c
        base += s.crac_power_w
        base += exchange * water
        base /= kept
        slope = into - exchange
        slope /= kept
        # mixed supply at the tiles = level + part · room
        members = len(flow)
        both = self.reaching(np.concatenate([air_w_k * base, air_w_k * slope], axis=0))
        scale = np.maximum(reach, _LEAST)
        level, part = both[:members], both[members:]
        level /= scale
        part /= scale
        share = taken / held
        inlet_0 = share * level
        inlet_0 += start
        share *= part
        inlet_1 = hot / held
        inlet_1 += share

        # room: streams that arrive less streams that leave
        exhaust, bypass = draw - own, reach - taken
        fixed = gain * inlet_0
        fixed += rise
        fixed *= exhaust
        level *= bypass
        fixed += level
        exhaust *= gain
        exhaust *= inlet_1
        hot -= exhaust
        part *= bypass
        hot -= part
        sum_0 = fixed @ layout.hall_rack
        sum_0 += (casing * base) @ layout.hall_crac
        sum_1 = hot @ layout.hall_rack
        casing *= slope
        into -= casing
        sum_1 += into @ layout.hall_crac
        sum_1 += per.still
        wall_0 = per.wall * s.wall_c
        wall_0 += per.outer * k.building_c
        sum_0 += per.room * s.room_c
        sum_0 += per.wall_w_k * wall_0
        sum_0 += loss_w
        room_c = sum_0 / sum_1

        at_rack, at_unit = self.at_racks(room_c), self.at_units(room_c)
        s.room_c = room_c
        wall_0 += per.inner * room_c
        s.wall_c = wall_0
        slope *= at_unit
        base += slope
        s.supply_c = base
        inlet_1 *= at_rack
        inlet_0 += inlet_1
        s.inlet_c = inlet_0
        gain *= inlet_0
        gain += rise
        s.outlet_c = gain
        heat = at_unit - water
        heat *= exchange
        s.unit_heat_w = (
            np.concatenate([heat, s.unit_heat_w[:, units:]], axis=1) if layout.cdus else heat
        )

    def _rates(self, dt_s: float, members: int) -> Rates:
        """Heat capacities over the step, W/K, kept for the members and the width used last."""
        if self._kept is None or self._kept.dt_s != dt_s or self._kept.members != members:
            c, layout = self.c, self.layout
            rack, hall, crac = (
                np.zeros((members, count))
                for count in (len(layout.rack_hall), layout.halls, layout.cracs)
            )
            wall = self.wall_j_k / dt_s
            held = wall + self.wall_w_k + self.envelope_w_k
            inner = self.wall_w_k / held
            room = self.room_j_k / dt_s
            self._kept = Rates(
                dt_s=dt_s,
                members=members,
                aisle=rack + c.aisle_j_k / dt_s,
                rack=rack + self.rack_j_k / dt_s,
                coil=crac + c.coil_j_k / dt_s,
                room=hall + room,
                wall=hall + wall / held,
                outer=hall + self.envelope_w_k / held,
                inner=hall + inner,
                still=hall + room + self.wall_w_k * (1.0 - inner),
                wall_w_k=hall + self.wall_w_k,
                own_exhaust=rack + c.own_exhaust,
                stopped=crac + c.stopped_w_k,
            )
        return self._kept

    def to_building_w(self, s: ThermalState, k: Commands) -> Floats:
        """Heat through the walls to the building, (M, H)."""
        return self.envelope_w_k * (s.wall_c - k.building_c)
