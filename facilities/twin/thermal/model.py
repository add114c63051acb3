"""The thermal model of a site: halls' air, CRACs, CDUs, chilled water, chillers, towers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from facilities.twin.drive import Drive
from facilities.twin.site import Floats, Site
from facilities.twin.state import Key, Values

from .air import Air
from .commands import Commands, commands
from .constants import ThermalConstants
from .humidity import dew_point_c
from .layout import PLANT, Layout
from .observing import observe
from .state import ThermalState
from .units import UnitFlows, Units
from .values import VALUES
from .water import Water

_MOST = np.array(0.5)
"""Share of a step with power from which a machine runs."""


class Thermal:
    """One step moves actuators, then air, then water; each part is implicit in its own
    temperatures and takes those of the others from the step before, so any width is stable.
    """

    def __init__(self, site: Site, parameters: ThermalConstants | None = None) -> None:
        self.site = site
        self.parameters = parameters or ThermalConstants()
        self.layout: Layout = Layout(site, self.parameters)
        self.units = Units(self.layout, self.parameters)
        self.air: Air = Air(self.layout, self.parameters)
        self.water: Water = Water(self.layout, self.parameters)
        self.masses_j_k = self._masses_j_k()
        ends = np.cumsum([0, *(site.count(kind) for kind in PLANT)])
        self._columns = [slice(ends[a], ends[b]) for a, b in ((0, 2), (2, 3), (3, 4), (4, 5))]

    def initial(self, drive: Drive) -> ThermalState:
        """A plausible start: machines as commanded, setpoints reached. Settle it by stepping."""
        members, layout, c = drive.members, self.layout, self.parameters
        sizes = {
            "R": self.site.count("rack"), "C": layout.cracs, "D": layout.cdus,
            "U": layout.cracs + layout.cdus, "H": layout.halls, "L": layout.loops,
            "P": layout.pumps, "K": layout.chillers, "T": self.site.count("tower"),
            "G": 2 * layout.loops, "1": 1,
        }  # fmt: skip
        fields = {
            name: np.zeros((members, sizes[axis])) for name, axis in zip(_NAMES, _AXES, strict=True)
        }
        s = ThermalState(**fields)
        s.inlet_c[:], s.outlet_c[:], s.room_c[:], s.wall_c[:] = 20.0, 32.0, 30.0, 29.0
        s.supply_c[:] = drive["crac", "supply_sp_c"]
        s.cdu_supply_c[:] = s.cdu_return_c[:] = drive["cdu", "supply_sp_c"]
        cold = drive["chiller", "supply_sp_c"]
        s.water_supply_c[:] = cold.mean(axis=1, keepdims=True) if layout.chillers else 10.0
        s.water_return_c[:] = s.water_supply_c + 4.0
        s.condenser_c[:] = np.maximum(24.0, drive["site", "wet_bulb_c"] + c.approach_k)
        s.crac_on_s[:] = 1e6 * drive["crac", "run_cmd"]
        s.fan[:] = drive["crac", "fan_speed_sp_pct"] / 100.0 * drive["crac", "run_cmd"]
        s.valve[:] = c.valve_start
        s.cdu_speed[:] = drive["cdu", "pump_speed_sp_pct"] / 100.0 * drive["cdu", "run_cmd"]
        s.pump_speed[:] = drive["pump", "run_cmd"]
        s.chiller_on_s[:] = 1e6 * drive["chiller", "run_cmd"]
        s.well_s[:] = 1e6
        s.dew_point_c[:] = c.dew_point_c
        s.rack_flow_m3s[:] = layout.rack_rated_w / (c.air_density_kg_m3 * c.air_cp_j_kgk * 16.0)
        return s

    def settle(self, s: ThermalState, drive: Drive) -> None:
        """Put the slow walls where they would end at the present room temperature."""
        into, out = self.air.wall_w_k, self.air.envelope_w_k
        building_c = self.commands(drive).building_c
        s.wall_c = (into * s.room_c + out * building_c) / (into + out)

    def commands(self, drive: Drive) -> Commands:
        """What a step needs of the drive; hand it to ``step`` for as long as the drive stays."""
        return commands(self.layout, self.parameters, drive, units=self.units, water=self.water)

    def step(
        self,
        s: ThermalState,
        drive: Drive,
        *,
        rack_w: Floats,
        rack_airflow_m3s: Floats,
        loss_w: Floats,
        powered: Mapping[str, Floats],
        dt_s: float,
        told: Commands | None = None,
    ) -> None:
        """Advance by ``dt_s``, 1…15 s.

        ``rack_w`` (M, R) electric power of racks, ``rack_airflow_m3s`` (M, R) of their fans,
        ``loss_w`` (M, H) other heat in each hall, ``powered`` by kind (M, n) the share of the
        step with power; machines run when that is most of it. ``told`` spares reading the drive.
        """
        k = told or self.commands(drive)
        shares = np.concatenate([powered[kind] for kind in PLANT], axis=1)
        on = (shares > _MOST).astype(np.float64)
        machines, towers, cracs, cdus = (on[:, columns] for columns in self._columns)
        before = self._stored_j(s)
        lps = self.water.move(s, k, machine_powered=machines, dt_s=dt_s)
        flows = self.units.step(s, k, lps, crac_powered=cracs, cdu_powered=cdus, dt_s=dt_s)
        into_air_w, liquid_w = self._split(s, k, rack_w)
        self.air.step(
            s,
            k,
            flows,
            rack_w=into_air_w,
            rack_airflow_m3s=rack_airflow_m3s,
            loss_w=loss_w,
            dt_s=dt_s,
        )
        needed_w = self.air.at_units(s.room_c) - k.supply_sp_c
        needed_w *= flows.air_w_k
        needed_w += s.crac_power_w
        if self.layout.cdus:
            asked = self._technology(s, k, flows, liquid_w, dt_s)
            needed_w = np.concatenate([needed_w, asked], axis=1)
        self.units.control(s, needed_w=needed_w, dt_s=dt_s)
        outside_w = self.water.step(s, k, lps, tower_powered=towers, dt_s=dt_s)
        # a tower's fan blows outside, only its pump heats the water
        into = np.concatenate(
            (
                rack_w,
                loss_w,
                s.crac_power_w,
                s.cdu_power_w,
                s.pump_power_w,
                s.chiller_power_w,
                s.tower_running * self.layout.tower_pump_w,
            ),
            axis=1,
        )
        s.heat_in_w = np.add.reduce(into, axis=1, keepdims=True)
        out = np.concatenate([outside_w, self.air.to_building_w(s, k)], axis=1)
        s.heat_out_w = np.add.reduce(out, axis=1, keepdims=True)
        s.heat_stored_w = (self._stored_j(s) - before) / dt_s

    def _split(self, s: ThermalState, k: Commands, rack_w: Floats) -> tuple[Floats, Floats]:
        """Rack heat into the air (M, R) and into each CDU's water (M, D)."""
        layout = self.layout
        if not len(layout.liquid):
            return rack_w, np.zeros_like(s.cdu_speed)
        wet = np.minimum(s.cdu_speed / self.parameters.cdu_wet, 1.0).take(layout.liquid_cdu, axis=1)
        to_water = rack_w.take(layout.liquid, axis=1)
        to_water *= k.liquid_share
        to_water *= wet
        into_air = rack_w.copy()
        into_air[:, layout.liquid] -= to_water
        return into_air, to_water @ layout.cdu_liquid

    def _technology(
        self, s: ThermalState, k: Commands, flows: UnitFlows, liquid_w: Floats, dt_s: float
    ) -> Floats:
        """Technology water of the CDUs, implicit. Returns the heat its setpoint asks for."""
        c, layout, units = self.parameters, self.layout, self.layout.cracs
        exchange = flows.exchange_w_k[:, units:]
        water = s.water_supply_c.take(layout.loop_of["cdu"], axis=1)
        rise = liquid_w / np.maximum(flows.technology_w_k, 1.0)
        mass = k.technology_j_k
        heat = liquid_w + s.cdu_power_w
        kept = mass / dt_s
        supply = kept * s.cdu_supply_c
        supply += heat
        supply -= exchange * (rise - water)
        supply /= kept + exchange
        s.cdu_supply_c = supply
        s.cdu_return_c = supply + rise
        s.unit_heat_w[:, units:] = exchange * (s.cdu_return_c - water)
        return np.asarray(heat + mass / c.header_tau_s * (supply - k.cdu_sp_c))

    def _masses_j_k(self) -> Floats:
        """Heat capacity of every temperature of ``_stored_j``, in its order."""
        c, layout, water = self.parameters, self.layout, self.water
        count = self.site.count("rack")
        parts = [
            np.full(count, c.aisle_j_k),
            self.air.rack_j_k,
            np.full(layout.cracs, c.coil_j_k),
            self.air.room_j_k,
            self.air.wall_j_k,
            water.header_j_k,
            water.header_j_k,
            water.basin_j_k * layout.has_tower,
            self.units.full_technology_w_k * c.cdu_s,
        ]
        rows = max(len(np.atleast_2d(part)) for part in parts)
        wide = [np.broadcast_to(part, (rows, np.shape(part)[-1])) for part in parts]
        return np.concatenate(wide, axis=1)

    def _stored_j(self, s: ThermalState) -> Floats:
        """Heat in all masses relative to 0 °C, J, (M, 1)."""
        every = (
            s.inlet_c,
            s.outlet_c,
            s.supply_c,
            s.room_c,
            s.wall_c,
            s.water_supply_c,
            s.water_return_c,
            s.condenser_c,
            s.cdu_supply_c,
        )
        heat = np.concatenate(every, axis=1)
        if len(self.masses_j_k) != len(heat):  # kept for every member, see Commands
            self.masses_j_k = np.zeros_like(heat) + self._masses_j_k()
        heat *= self.masses_j_k
        return np.asarray(np.add.reduce(heat, axis=1, keepdims=True))

    def mechanical_w(self, s: ThermalState) -> dict[str, Floats]:
        """Electric power of the cooling equipment by kind, each (M, n)."""
        return {
            "crac": s.crac_power_w,
            "cdu": s.cdu_power_w,
            "chiller": s.chiller_power_w,
            "pump": s.pump_power_w,
            "tower": s.tower_power_w,
        }

    def values(self, s: ThermalState, drive: Drive, keys: Iterable[Key] | None = None) -> Values:
        """Every quantity of the cooling plant, of racks' air and of halls' climate, or some."""
        wanted = VALUES if keys is None else [key for key in keys if key in VALUES]
        return {key: VALUES[key](self, s, drive) for key in wanted}

    def observe(self, s: ThermalState, readings: Mapping[Key, Floats]) -> None:
        """Put what instruments say into the state; the rest stays. Readings (1, n), NaN unknown."""
        observe(self.layout, s, readings)
        humidity = readings.get(("hall", "humidity_pct"))
        if humidity is not None:
            known = np.isfinite(humidity)
            dew = dew_point_c(self.cold_aisle_c(s), np.where(known, humidity, 50.0))
            s.dew_point_c = np.where(known, dew, s.dew_point_c)

    def cold_aisle_c(self, s: ThermalState) -> Floats:
        """Mean inlet of each hall, (M, H)."""
        return np.asarray((s.inlet_c @ self.layout.hall_rack) / self.layout.hall_racks)


_NAMES = tuple(field.name for field in dataclasses.fields(ThermalState))
_AXES = tuple("RRCHHDLLLCCUDPKKTGGGHRRCCUDDPPKTCDPKT111")
"""Axis of each field of the state, in its letters; ``test_it_sizes_every_array`` checks them."""
