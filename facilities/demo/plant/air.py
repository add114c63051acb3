"""Air side of the hall: CRAC fans and coils, supply to each rack, recirculation, temperatures.

The chain is that of EnergyPlus' data-centre IT equipment (Sun & Hong 2017): supply air plus a
local share of recirculated hot air gives the inlet; the rack's power over its airflow gives the
outlet; the hot side returns to the units. Every stream is balanced in mass and in heat. Real halls
have more: ducts leak, units on one wall press against each other, hot air lies in layers, valves
stick a little before they move, and a probe sits where it was easy to fix.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facilities.demo.plant.points import FacilitySpec

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class AirParameters:
    """Constants of the air side."""

    rho_kg_m3: float = 1.2  # dry air at 20 °C, 101 kPa
    cp_j_kgk: float = 1005.0  # dry air
    #: Coil: effectiveness 1 - exp(-NTU). 90 kW at 6.2 m3/s is 12 K; from 30 °C return and 10 °C
    #: water that is 12/20, so NTU = 0.92 at full flow.
    coil_ntu: float = 0.92
    coil_ntu_flow_exponent: float = -0.5  # assumed, NTU = UA/C with UA ~ flow^0.5
    #: Share of a coil's output at a share w of its water: w / (w + c (1 - w)); a typical coil
    #: gives 80 % at half flow, so c = 0.25 (assumed).
    coil_water_curve: float = 0.25
    coil_water_lps: float = 4.0  # assumed design water flow of one coil
    fan_tau_s: float = 4.0  # assumed drive ramp
    fan_start_s: float = 6.0  # assumed: damper opens before the fan starts
    filter_clean_pa: float = 150.0  # assumed, clean filter at 100 % fan speed
    filter_tau_s: float = 15.0  # assumed, how fast an injected clog grows
    filter_share: float = 0.12  # assumed share of the fan's pressure that a clean filter takes
    damper_share: float = 0.08  # assumed share of it that the open discharge damper takes
    damper_stroke_s: float = 5.0  # assumed: fast-acting drive, open before the fan starts
    damper_leak: float = 0.02  # assumed free area of a closed damper, share of the open one
    backflow: float = 0.03  # assumed: plenum air lost through the open damper of a stopped unit
    coil_j_k: float = 30_000.0  # assumed coil and casing
    room_j_k: float = 500_000.0  # hot side: 250 m3 of air is 0.3 MJ/K; the metal's part is assumed
    aisle_j_k: float = 12_000.0  # cold aisle air and floor in front of one rack, assumed
    gpu_rack_j_k: float = 110_000.0  # 500 kg of servers are 250 kJ/K, not all takes part; assumed
    other_rack_j_k: float = 30_000.0  # assumed
    envelope_w_k: float = 300.0  # assumed, walls to the building
    building_c: float = 22.5  # assumed at 15 °C outside
    building_share: float = 0.12  # assumed: the building follows the outside air by this much
    duct_leak: float = 0.06  # assumed share of a unit's air that leaks into the hot side
    crowding: float = 0.02  # assumed flow lost to a neighbour on the same wall at full speed
    layering: float = 0.05  # assumed: racks draw hot air up to this much over or under the mean
    placement: float = 0.025  # assumed: most that an inlet probe sees of the hot side
    door_mixing: float = 0.09  # assumed: hot air in every inlet when the door stands open
    wear_flow: float = 0.30  # assumed: air lost to worn blades and belts
    wear_power: float = 0.55  # assumed: added friction of worn bearings
    valve_stick: float = 0.012  # assumed: opening that a valve hangs behind its command
    gpu_rack_flow_m3s: float = 1.95  # four servers at reference fan speed: 26 kW at 11 K
    other_rack_flow_m3s: float = 0.35  # 5 kW at 12 K
    reach_m: float = 2.4  # assumed: the plenum feeds tiles near a unit better, e-fold distance
    tile_exponent: float = 0.74  # assumed: big racks get less than their share of tiles
    mixing: float = 0.13  # assumed: least share of hot air in an inlet (no blanking is perfect)
    own_exhaust: float = 0.53  # assumed part of a rack's recirculated air that is its own exhaust
    valve_gain_per_k_s: float = 0.008  # assumed integral gain of the supply air loop
    valve_min: float = 0.05  # assumed
    valve_start: float = 0.6  # assumed opening when a unit starts
    liquid_flow_share: float = 0.55  # assumed: airflow saved per share of liquid cooling
    stopped_coil_w_k: float = 330.0  # assumed: a stopped unit follows the room in about 90 s


@dataclass(frozen=True)
class HeatBalance:
    """Heat flows of the last step, W, and the stored energy, J. In minus out is the storage."""

    racks_w: float
    fans_w: float
    coils_w: float
    envelope_w: float
    other_w: float
    stored_j: float


@dataclass
class AirState:
    """Temperatures in °C, fan speeds 0..1, by unit and by rack."""

    fan: Floats
    valve: Floats  # what the controller commands
    stem: Floats  # where the valve stands
    supply_c: Floats
    filter_resistance: Floats
    started_s: Floats
    inlet_c: Floats
    outlet_c: Floats
    flow_m3s: Floats
    damper: Floats  # where the discharge damper stands, 0..1
    room_c: float = 28.0


class Air:
    """The hall's air; arrays are in file order of crac and rack assets."""

    def __init__(self, facility: FacilitySpec, *, parameters: AirParameters, seed: int = 1) -> None:
        self.p = parameters
        rng = np.random.default_rng((seed, 31))
        cracs = facility.of_kind("crac")
        racks = facility.of_kind("rack")
        self.crac_flow_m3s = np.array([float(c.attributes["airflow_m3s"]) for c in cracs])
        self.crac_fan_w = np.array([float(c.attributes["fan_w"]) for c in cracs])
        loaded = {server.rack for server in facility.of_kind("server")}
        is_gpu = np.array([rack.tag in loaded for rack in racks])
        self.rack_flow_m3s = np.where(
            is_gpu, parameters.gpu_rack_flow_m3s, parameters.other_rack_flow_m3s
        )
        liquid = np.array([float(r.attributes.get("liquid_fraction", 0.0)) for r in racks])
        self.rack_flow_m3s *= 1.0 - parameters.liquid_flow_share * liquid
        self.rack_j_k = np.where(is_gpu, parameters.gpu_rack_j_k, parameters.other_rack_j_k)
        crac_xy = np.array([[c.attributes["x_m"], c.attributes["y_m"]] for c in cracs], dtype=float)
        rack_xy = np.array([[r.attributes["x_m"], r.attributes["y_m"]] for r in racks], dtype=float)
        distance_m = np.linalg.norm(crac_xy[:, None, :] - rack_xy[None, :, :], axis=2)
        weight = (
            np.exp(-distance_m / parameters.reach_m) * self.rack_flow_m3s**parameters.tile_exponent
        )
        #: Share of each unit's air that reaches each rack's tiles; rows sum to one.
        self.reach = weight / weight.sum(axis=1, keepdims=True)
        units = len(cracs)
        across_m = np.abs(crac_xy[:, None, 1] - crac_xy[None, :, 1])
        #: unit x unit: which units blow into the plenum from the same wall.
        self._neighbours = (across_m < 2.0).astype(float) - np.eye(units)
        self._layer = parameters.layering * rng.uniform(-1.0, 1.0, len(racks))
        self._placement = parameters.placement * rng.uniform(0.0, 1.0, len(racks))
        self._return_offset_k = rng.uniform(-0.4, 0.4, units)  # assumed: where the probe hangs
        self.state = AirState(
            fan=np.zeros(units),
            valve=np.full(units, 0.6),
            stem=np.full(units, 0.6),
            supply_c=np.full(units, 18.0),
            filter_resistance=np.ones(units),
            started_s=np.zeros(units),
            inlet_c=np.full(len(racks), 20.0),
            outlet_c=np.full(len(racks), 32.0),
            flow_m3s=np.zeros(units),
            damper=np.ones(units),
        )
        self.fan_w = np.zeros(units)
        self.coil_w = np.zeros(units)
        self.balance = HeatBalance(0.0, 0.0, 0.0, 0.0, 0.0, self._stored_j())

    def step(
        self,
        dt_s: float,
        *,
        run: Flags,
        damper_sp: Floats,
        fan_sp: Floats,
        supply_sp_c: Floats,
        fan_limit: Floats,
        fan_wear: Floats,
        filter_resistance: Floats,
        coil_ua: Floats,
        valve_stuck: Floats,
        door_open: float,
        outside_c: float,
        water_c: float,
        water_lps: float,
        rack_w: Floats,
        rack_fan: Floats,
        fan_reference: float,
        other_w: float,
    ) -> None:
        """Advance by dt_s. `run` says which units are commanded, healthy and powered;
        `damper_sp` is where each discharge damper is driven to, 0..1 (0 for a unit switched off).
        """
        self._step_fans(dt_s, run=run, fan_sp=fan_sp, fan_limit=fan_limit)
        s, p = self.state, self.p
        s.filter_resistance += (filter_resistance - s.filter_resistance) * _share(
            dt_s, p.filter_tau_s
        )
        stroke = dt_s / p.damper_stroke_s
        s.damper += np.clip(damper_sp - s.damper, -stroke, stroke)
        # A stiffer system moves the fan along its curve: dp_total ~ flow^2 at one speed. The
        # pressure drop of a damper goes with the square of its free area.
        throttled = np.maximum(s.damper, p.damper_leak) ** -2.0 - 1.0
        choke = 1.0 / np.sqrt(
            1.0 + p.filter_share * (s.filter_resistance - 1.0) + p.damper_share * throttled
        )
        crowded = 1.0 - p.crowding * (self._neighbours @ s.fan)
        worn = 1.0 - p.wear_flow * fan_wear
        s.flow_m3s = self.crac_flow_m3s * s.fan * choke * crowded * worn
        self.fan_w = self.crac_fan_w * s.fan**3 * choke * (1.0 + p.wear_power * fan_wear)
        self._step_coils(
            dt_s,
            run=run,
            supply_sp_c=supply_sp_c,
            coil_ua=coil_ua,
            valve_stuck=valve_stuck,
            water_c=water_c,
            water_lps=water_lps,
        )
        self._step_hall(
            dt_s,
            rack_w=rack_w,
            rack_fan=rack_fan / fan_reference,
            other_w=other_w,
            mixing=p.mixing + p.door_mixing * door_open,
            building_c=p.building_c + p.building_share * (outside_c - 15.0),
        )

    @property
    def filter_dp_pa(self) -> Floats:
        """Filter pressure drop, Pa: quadratic in flow."""
        relative = self.state.flow_m3s / self.crac_flow_m3s
        return self.p.filter_clean_pa * self.state.filter_resistance * relative**2

    @property
    def inlet_probe_c(self) -> Floats:
        """Air at each rack's inlet probe: some of the hot side creeps over the top."""
        s = self.state
        return s.inlet_c + self._placement * (s.room_c - s.inlet_c)

    @property
    def return_probe_c(self) -> Floats:
        """Air at each unit's return probe."""
        return self.state.room_c + self._return_offset_k

    def _step_fans(self, dt_s: float, *, run: Flags, fan_sp: Floats, fan_limit: Floats) -> None:
        s, p = self.state, self.p
        s.started_s = np.where(run, s.started_s + dt_s, 0.0)
        target = np.where(run & (s.started_s > p.fan_start_s), np.minimum(fan_sp, fan_limit), 0.0)
        s.fan += (target - s.fan) * _share(dt_s, p.fan_tau_s)
        s.fan[s.fan < 1e-3] = 0.0

    def _step_coils(
        self,
        dt_s: float,
        *,
        run: Flags,
        supply_sp_c: Floats,
        coil_ua: Floats,
        valve_stuck: Floats,
        water_c: float,
        water_lps: float,
    ) -> None:
        s, p = self.state, self.p
        flow_w_k = p.rho_kg_m3 * p.cp_j_kgk * s.flow_m3s
        relative = np.maximum(s.flow_m3s / self.crac_flow_m3s, 1e-3)
        effectiveness = 1.0 - np.exp(-p.coil_ntu * coil_ua * relative**p.coil_ntu_flow_exponent)
        # Water shared by the open valves; too little of it starves the coil.
        wanted_lps = p.coil_water_lps * float(np.sum(np.where(s.flow_m3s > 0, s.stem, 0.0)))
        water = s.stem * min(1.0, water_lps / max(wanted_lps, 1e-6))
        output = water / np.maximum(water + p.coil_water_curve * (1.0 - water), 1e-6)
        self.coil_w = output * effectiveness * flow_w_k * np.maximum(s.room_c - water_c, 0.0)
        moving = s.flow_m3s > 0
        self.coil_w = np.where(moving, self.coil_w, 0.0)
        step = p.valve_gain_per_k_s * dt_s * (s.supply_c - supply_sp_c)
        opening = np.where(s.valve > 0, s.valve + step, p.valve_start)
        s.valve = np.where(run, np.clip(opening, p.valve_min, 1.0), 0.0)
        behind = s.valve - s.stem
        moved = s.valve - np.clip(behind, -p.valve_stick, p.valve_stick)
        s.stem = np.where(s.valve <= 0, 0.0, np.clip(moved, 0.0, 1.0))
        s.stem = np.where(run & ~np.isnan(valve_stuck), valve_stuck, s.stem)

    def _step_hall(
        self,
        dt_s: float,
        *,
        rack_w: Floats,
        rack_fan: Floats,
        other_w: float,
        mixing: float,
        building_c: float,
    ) -> None:
        s, p = self.state, self.p
        volume_w_k = p.rho_kg_m3 * p.cp_j_kgk
        demand_m3s = self.rack_flow_m3s * rack_fan
        standing = s.fan < 0.05
        lost = p.duct_leak + p.backflow * float(np.sum(s.damper[standing]))
        blown_m3s = s.flow_m3s * (1.0 - lost)
        leaked_m3s = s.flow_m3s * lost
        reaching_m3s = blown_m3s @ self.reach
        supplied_m3s = np.minimum(reaching_m3s, demand_m3s * (1.0 - mixing))
        recirculated_m3s = demand_m3s - supplied_m3s
        bypass_m3s = reaching_m3s - supplied_m3s
        own_m3s = p.own_exhaust * recirculated_m3s
        from_room_m3s = recirculated_m3s - own_m3s
        # Four sub-steps keep the explicit balance stable and closed to rounding.
        part_s = dt_s / 4
        envelope_w = p.envelope_w_k * (building_c - s.room_c)
        unit_w_k = volume_w_k * s.flow_m3s
        exchange_w_k = np.where(s.flow_m3s > 0, unit_w_k, p.stopped_coil_w_k)
        for _ in range(4):
            mixed_c = (blown_m3s * s.supply_c) @ self.reach / np.maximum(reaching_m3s, 1e-9)
            drawn_c = s.room_c + self._layer * (s.room_c - s.inlet_c)
            into_unit_w = exchange_w_k * (s.room_c - s.supply_c) + self.fan_w - self.coil_w
            into_aisle_w = volume_w_k * (
                supplied_m3s * mixed_c
                + own_m3s * s.outlet_c
                + from_room_m3s * drawn_c
                - demand_m3s * s.inlet_c
            )
            into_rack_w = rack_w + volume_w_k * demand_m3s * (s.inlet_c - s.outlet_c)
            into_room_w = (
                volume_w_k
                * float(np.sum((demand_m3s - own_m3s) * s.outlet_c + bypass_m3s * mixed_c))
                + volume_w_k * float(leaked_m3s @ s.supply_c)
                - volume_w_k * float(from_room_m3s @ drawn_c)
                - float(unit_w_k.sum()) * s.room_c
                - float(np.sum((exchange_w_k - unit_w_k) * (s.room_c - s.supply_c)))
                + envelope_w
                + other_w
            )
            s.supply_c = s.supply_c + into_unit_w * part_s / p.coil_j_k
            s.inlet_c = s.inlet_c + into_aisle_w * part_s / p.aisle_j_k
            s.outlet_c = s.outlet_c + into_rack_w * part_s / self.rack_j_k
            s.room_c += into_room_w * part_s / p.room_j_k
        self.balance = HeatBalance(
            racks_w=float(rack_w.sum()),
            fans_w=float(self.fan_w.sum()),
            coils_w=float(self.coil_w.sum()),
            envelope_w=envelope_w,
            other_w=other_w,
            stored_j=self._stored_j(),
        )

    def _stored_j(self) -> float:
        """Heat in the hall's masses relative to 0 °C, J."""
        s, p = self.state, self.p
        return float(
            p.room_j_k * s.room_c
            + p.aisle_j_k * s.inlet_c.sum()
            + (self.rack_j_k * s.outlet_c).sum()
            + p.coil_j_k * s.supply_c.sum()
        )


def _share(dt_s: float, tau_s: float) -> float:
    """Part of the way to the target that a first-order lag goes in dt_s."""
    return 1.0 - math.exp(-dt_s / tau_s)
