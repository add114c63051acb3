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
    cop: float = 4.5  # assumed, air-cooled chiller incl. condenser fans, 25 °C outside
    chiller_idle_w: float = 1500.0  # assumed, oil heater and controls of a running machine
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
        self._pump_lead = Changeover(parameters.pump_changeover_s, parameters.settle_s)
        self._chiller_lead = Changeover(parameters.chiller_changeover_s, parameters.settle_s)

    @property
    def flow_lps(self) -> Floats:
        """Flow through each pump, L/s; two pumps in parallel share a little more than one gives."""
        total = float(self.pump_speed.sum())
        gain = 1.0 if total <= 1.0 else 1.0 + (self.p.two_pump_gain - 1.0) * (total - 1.0)
        return self.rated_lps * self.pump_speed * (gain / max(total, 1.0))

    @property
    def pump_w(self) -> Floats:
        return self.rated_pump_w * self.pump_speed**3

    @property
    def electric_w(self) -> Floats:
        """Electric power of each chiller."""
        return self.chiller_w / self.p.cop + np.where(
            self.chiller_running, self.p.chiller_idle_w, 0.0
        )

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
    ) -> None:
        """Advance by dt_s; `*_run` means commanded, healthy and powered."""
        p = self.p
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
        target_w = np.where(ready, np.clip(wanted_w, 0.0, self.cooling_w), 0.0)
        self.chiller_w += (target_w - self.chiller_w) * _share(dt_s, p.chiller_tau_s)
        self.chiller_w[~ready] = 0.0

        exchanged_w = flow_w_k * (self.return_c - self.supply_c)
        self.supply_c += dt_s * (exchanged_w - float(self.chiller_w.sum())) / p.header_j_k
        self.return_c += dt_s * (coils_w - exchanged_w) / p.header_j_k


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
