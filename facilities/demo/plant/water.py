"""Chilled water: two chillers and two pumps, duty and standby, on one loop."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facilities.demo.plant.points import FacilitySpec

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class WaterParameters:
    """Constants of the chilled-water plant."""

    cp_j_kgk: float = 4186.0  # water; 1 L is taken as 1 kg
    header_j_k: float = 3.1e6  # assumed 750 L in each header
    pump_tau_s: float = 3.0  # assumed run-down and run-up
    pump_changeover_s: float = 10.0  # assumed: the sequence starts the standby pump after this
    two_pump_gain: float = 1.25  # assumed flow with both pumps over the flow with one
    chiller_start_s: float = 60.0  # assumed quick restart of a screw chiller
    chiller_changeover_s: float = 20.0  # assumed: the sequence starts the standby chiller
    chiller_tau_s: float = 12.0  # assumed loading
    carnot_share: float = 0.47  # assumed, screw machine at its best load; gives 5.7 at 24 °C
    evaporator_approach_k: float = 2.0  # assumed
    condenser_approach_k: float = 3.0  # assumed, over the entering condenser water and its range
    best_load: float = 0.72  # assumed
    load_penalty: float = 0.55  # assumed: efficiency lost with the square of the distance from it
    slide_valve_load: float = 0.60  # assumed: below it the slide valve throttles in a step
    slide_valve_loss: float = 0.05  # assumed
    hot_condenser_c: float = 33.0  # assumed: capacity falls above this condenser water
    hot_loss_per_k: float = 0.05  # assumed
    chiller_idle_w: float = 1200.0  # assumed, oil heater and controls of a running machine
    pump_heat: float = 0.9  # assumed share of the pumps' power that warms the water
    pipe_w_k: float = 55.0  # assumed gain of pipes and headers from the plant room
    plant_room_c: float = 26.0  # assumed
    minimum_flow: float = 0.3  # assumed: flow switch trips below this share of design
    settle_s: float = 30.0  # assumed: duty machine healthy this long before the standby stops


class Water:
    """Loop temperatures and machine states; arrays are in file order of chiller and pump."""

    def __init__(self, facility: FacilitySpec, *, parameters: WaterParameters) -> None:
        self.p = parameters
        chillers, pumps = facility.of_kind("chiller"), facility.of_kind("pump")
        self.cooling_w = np.array([float(c.attributes["cooling_w"]) for c in chillers])
        self.rated_lps = np.array([float(c.attributes["flow_lps"]) for c in pumps])
        self.rated_pump_w = np.array([float(c.attributes["power_w"]) for c in pumps])
        self.supply_c = 10.0
        self.return_c = 13.5
        self.pump_speed = np.array([1.0, 0.0])
        self.pump_running = np.array([True, False])
        self.chiller_running = np.array([True, False])
        self.chiller_on_s = np.array([1e6, 0.0])
        self.chiller_w = np.array([170_000.0, 0.0])
        self.electric_w: Floats = np.array([28_000.0, 0.0])
        self.pipe_w = 0.0
        self.pump_heat_w = 0.0
        self.head: Floats = np.ones(len(pumps))
        self._pump_lead = Changeover(parameters.pump_changeover_s, parameters.settle_s)
        self._chiller_lead = Changeover(parameters.chiller_changeover_s, parameters.settle_s)

    @property
    def flow_lps(self) -> Floats:
        """Flow through each pump, L/s; two pumps in parallel share a little more than one gives."""
        total = float(self.pump_speed.sum())
        gain = 1.0 if total <= 1.0 else 1.0 + (self.p.two_pump_gain - 1.0) * (total - 1.0)
        return self.rated_lps * self.head * self.pump_speed * (gain / max(total, 1.0))

    @property
    def pump_w(self) -> Floats:
        return self.rated_pump_w * self.pump_speed**3

    @property
    def condenser_w(self) -> float:
        """Heat that the machines give to the condenser water: what they took and their work."""
        return float(self.chiller_w.sum() + self.electric_w.sum())

    def sequence(self, dt_s: float, *, commands: Floats, tripped: Flags, of: str) -> Floats:
        """Run commands after the automatic changeover of `of` ("pump" or "chiller")."""
        lead = self._pump_lead if of == "pump" else self._chiller_lead
        return lead.step(dt_s, commands=commands, tripped=tripped)

    def step(
        self,
        dt_s: float,
        *,
        pump_run: Flags,
        chiller_run: Flags,
        supply_sp_c: float,
        coils_w: float,
        condenser_c: float,
        head: Floats,
    ) -> None:
        """Advance by dt_s; `*_run` means commanded, healthy and powered."""
        p = self.p
        self.head = head
        self.pump_running = pump_run
        self.pump_speed += (np.where(pump_run, 1.0, 0.0) - self.pump_speed) * _share(
            dt_s, p.pump_tau_s
        )
        self.pump_speed[self.pump_speed < 1e-3] = 0.0
        flow_w_k = p.cp_j_kgk * float(self.flow_lps.sum())

        enough = float(self.pump_speed.sum()) > p.minimum_flow
        self.chiller_running = chiller_run
        self.chiller_on_s = np.where(chiller_run & enough, self.chiller_on_s + dt_s, 0.0)
        ready = self.chiller_on_s > p.chiller_start_s
        sharing = max(int(ready.sum()), 1)
        wanted_w = (
            flow_w_k * (self.return_c - supply_sp_c)
            + p.header_j_k / 30.0 * (self.supply_c - supply_sp_c)
        ) / sharing
        hot_k = max(condenser_c - p.hot_condenser_c, 0.0)
        capacity_w = self.cooling_w * max(1.0 - p.hot_loss_per_k * hot_k, 0.3)
        target_w = np.where(ready, np.clip(wanted_w, 0.0, capacity_w), 0.0)
        self.chiller_w += (target_w - self.chiller_w) * _share(dt_s, p.chiller_tau_s)
        self.chiller_w[~ready] = 0.0

        self._step_electric(condenser_c)
        exchanged_w = flow_w_k * (self.return_c - self.supply_c)
        self.pump_heat_w = p.pump_heat * float(self.pump_w.sum())
        self.pipe_w = p.pipe_w_k * (p.plant_room_c - self.supply_c)
        gained_w = self.pump_heat_w + self.pipe_w
        self.supply_c += (
            dt_s * (exchanged_w + gained_w - float(self.chiller_w.sum())) / p.header_j_k
        )
        self.return_c += dt_s * (coils_w - exchanged_w) / p.header_j_k

    def _step_electric(self, condenser_c: float) -> None:
        """Work of each machine: a share of Carnot that depends on the load."""
        p = self.p
        cold_k = self.supply_c - p.evaporator_approach_k + 273.15
        hot_k = condenser_c + 4.0 + p.condenser_approach_k + 273.15  # 4 K of range: assumed
        lift_k = max(hot_k - cold_k, 12.0)  # head pressure is held in cold weather
        load = self.chiller_w / self.cooling_w
        share = p.carnot_share * (1.0 - p.load_penalty * (load - p.best_load) ** 2)
        share = share * np.where(load < p.slide_valve_load, 1.0 - p.slide_valve_loss, 1.0)
        cop = share * cold_k / lift_k
        idle_w = np.where(self.chiller_running, p.chiller_idle_w, 0.0)
        self.electric_w = self.chiller_w / cop + idle_w


class Changeover:
    """Lead/lag sequence of two machines: the second starts when the first has tripped."""

    def __init__(self, delay_s: float, settle_s: float) -> None:
        self._delay_s = delay_s
        self._settle_s = settle_s
        self._tripped_s = 0.0
        self._healthy_s = 0.0
        self._started_by_sequence = False

    def step(self, dt_s: float, *, commands: Floats, tripped: Flags) -> Floats:
        """Return the run commands, with the standby's changed where the sequence acts."""
        lead_lost = bool(tripped[0]) and commands[0] > 0.5
        self._tripped_s = self._tripped_s + dt_s if lead_lost else 0.0
        self._healthy_s = 0.0 if lead_lost else self._healthy_s + dt_s
        after = commands.copy()
        if self._tripped_s >= self._delay_s and after[1] < 0.5:
            after[1] = 1.0
            self._started_by_sequence = True
        elif self._started_by_sequence and self._healthy_s >= self._settle_s:
            after[1] = 0.0
            self._started_by_sequence = False
        return after


def _share(dt_s: float, tau_s: float) -> float:
    """Part of the way to the target that a first-order lag goes in dt_s."""
    return 1.0 - math.exp(-dt_s / tau_s)
