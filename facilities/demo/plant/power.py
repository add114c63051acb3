"""Electrical side: utility, generator, two UPS, four PDUs, two cords to every rack."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facilities.demo.plant.points import FacilitySpec

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class PowerParameters:
    """Constants of the electrical system."""

    pdu_efficiency: float = 0.985  # assumed, isolation transformer
    ups_fixed_w: float = 2500.0  # assumed no-load loss of one 300 kW double-conversion UPS
    ups_efficiency: float = 0.965  # assumed proportional part
    bypass_fixed_w: float = 400.0  # assumed: control and fans, the inverter stands by
    bypass_efficiency: float = 0.995  # assumed, static switch and cables
    recharge_w: float = 20_000.0  # assumed charger limit of one UPS
    transfer_s: float = 3.0  # assumed, generator voltage good to transfer switch closed
    retransfer_s: float = 30.0  # assumed, utility back to transfer; generators cool down after it
    cooldown_s: float = 60.0  # assumed, generator runs unloaded
    fuel_full_load_l_h: float = 130.0  # assumed, 500 kW diesel
    fuel_idle_l_h: float = 25.0  # assumed
    tank_l: float = 4000.0  # assumed
    phase_v: float = 400.0  # phase to phase, as `nominal_v` in facility.yaml
    power_factor: float = 0.98  # assumed
    wear_capacity: float = 0.45  # assumed: capacity lost at wear 1
    wear_resistance: float = 0.60  # assumed: resistance gained at wear 1


class Power:
    """State of the electrical system; arrays are in file order of ups and pdu assets."""

    def __init__(self, facility: FacilitySpec, *, parameters: PowerParameters) -> None:
        self.p = parameters
        ups, pdus = facility.of_kind("ups"), facility.of_kind("pdu")
        generator = facility.of_kind("generator")[0]
        self.battery_mohm = np.array(
            [float(u.attributes.get("battery_resistance_mohm", 160.0)) for u in ups]
        )
        self.battery_wear: Floats = np.zeros(len(ups))
        self.input_good = np.ones(len(ups), dtype=bool)
        self.ups_rated_w = np.array([float(u.attributes["rated_w"]) for u in ups])
        minutes = np.array([float(u.attributes["battery_min_at_rated"]) for u in ups])
        self.battery_j = self.ups_rated_w * minutes * 60.0
        self.gen_start_s = float(generator.attributes["start_s"])
        self.gen_rated_w = float(generator.attributes["rated_w"])
        self.gen_start_limit_s = float(generator.attributes.get("start_limit_s", 15.0))
        self.gen_start_failed = False
        self._pdu_ups = np.array([0 if u.attributes["feed"] == "a" else 1 for u in pdus])
        rows = [str(rack.attributes["row"]) for rack in facility.of_kind("rack")]
        #: pdu x rack: which PDU feeds which rack.
        self._feeds = np.array(
            [[float(str(u.attributes["row"]) == row) for row in rows] for u in pdus]
        )
        self.charge: Floats = np.ones(len(ups))
        self.on_battery = np.zeros(len(ups), dtype=bool)
        self.ups_load_w: Floats = np.zeros(len(ups))
        self.ups_input_w: Floats = np.zeros(len(ups))
        self.pdu_w: Floats = np.zeros(len(pdus))
        self.pdu_closed = np.ones(len(pdus), dtype=bool)
        self.utility_v = parameters.phase_v
        self.utility_available = True
        self.on_generator = False
        self.gen_running = False
        self.gen_w = 0.0
        self.utility_w = 0.0
        self.fuel = 0.92
        self.mains_on_s = 1e6  # seconds since mechanical load last got power back
        self._fed = np.ones(len(ups), dtype=bool)
        self._bypass = np.zeros(len(ups), dtype=bool)
        self._utility_lost_s = 0.0
        self._utility_back_s = 1e6
        self._cooldown_s = 0.0

    @property
    def mains(self) -> bool:
        """The main switchboard is live, from utility or generator."""
        return self.on_generator or (self.utility_available and not self.on_generator)

    @property
    def rack_powered(self) -> Flags:
        """Racks with at least one live cord."""
        live = self.pdu_closed & self._ups_live()[self._pdu_ups]
        return np.asarray(live @ self._feeds > 0)

    @property
    def ups_live(self) -> Flags:
        """UPSs with voltage at their output."""
        return self._ups_live()

    @property
    def ups_protected(self) -> Flags:
        """Live ones whose battery would take over, or carries the load already."""
        return self._ups_live() & ~self._bypass & (self.charge > 0.1)

    @property
    def pdu_loss_w(self) -> float:
        """Transformer heat of the PDUs, which stand in the hall."""
        return float(self.pdu_w.sum()) * (1.0 - self.p.pdu_efficiency)

    @property
    def current_a(self) -> Floats:
        """Current of each PDU per phase, A."""
        return self.pdu_w / (np.sqrt(3.0) * self.p.phase_v * self.p.power_factor)

    @property
    def runtime_s(self) -> Floats:
        """How long each battery would carry its present load; at most a day."""
        draw_w = np.maximum(self._drawn_w(), 1.0)
        return np.minimum(self._capacity_j * self.charge / draw_w, 86_400.0)

    @property
    def _capacity_j(self) -> Floats:
        return self.battery_j * (1.0 - self.p.wear_capacity * self.battery_wear)

    @property
    def battery_resistance_mohm(self) -> Floats:
        """Resistance of each string; a discharged one shows more."""
        worn = 1.0 + self.p.wear_resistance * self.battery_wear
        return self.battery_mohm * worn * (1.0 + 0.15 * (1.0 - self.charge))  # 0.15: assumed

    def step(
        self,
        dt_s: float,
        *,
        utility_available: bool,
        breaker_open: Flags,
        rack_w: Floats,
        mechanical_w: float,
        input_lost: Flags,
        rectifier_failed: Flags,
        battery_wear: Floats,
        generator_fails: bool,
        bypass: Flags,
    ) -> None:
        """Advance by dt_s with the racks' demand and the mechanical plant's demand, W.

        A UPS on static ``bypass`` passes its input on: a failed rectifier does not matter, and its
        battery does not help when the input goes.
        """
        self._step_sources(
            dt_s, utility_available=utility_available, generator_fails=generator_fails
        )
        self.battery_wear = battery_wear
        self.input_good = ~input_lost & self.mains
        self._bypass = bypass
        charges = self.input_good & ~rectifier_failed
        fed = self.input_good & (bypass | ~rectifier_failed)
        self._fed = fed
        self.pdu_closed = ~breaker_open
        live = self.pdu_closed & self._ups_live()[self._pdu_ups]
        cords = np.maximum(live @ self._feeds, 1.0)
        self.pdu_w = np.where(live, (self._feeds * (rack_w / cords)).sum(axis=1), 0.0)
        self.pdu_w = self.pdu_w / self.p.pdu_efficiency
        self.ups_load_w = np.asarray(
            np.bincount(self._pdu_ups, weights=self.pdu_w, minlength=2), dtype=float
        )

        self.on_battery = ~fed & ~bypass & (self.charge > 0)
        drawn_w = self._drawn_w()
        charging_w = np.where(charges & (self.charge < 1.0), self.p.recharge_w, 0.0)
        flow_w = np.where(self.on_battery, -drawn_w, charging_w)
        self.charge = np.clip(self.charge + flow_w * dt_s / self._capacity_j, 0.0, 1.0)
        self.ups_input_w = np.where(fed, drawn_w + charging_w, 0.0)
        total_w = float(self.ups_input_w.sum()) + (mechanical_w if self.mains else 0.0)
        self.gen_w = total_w if self.on_generator else 0.0
        self.utility_w = total_w if self.mains and not self.on_generator else 0.0
        if self.gen_running:
            share = self.gen_w / self.gen_rated_w
            p = self.p
            litres_h = p.fuel_idle_l_h + (p.fuel_full_load_l_h - p.fuel_idle_l_h) * share
            self.fuel = max(0.0, self.fuel - litres_h * dt_s / 3600.0 / p.tank_l)

    def facility_w(self, mechanical_w: float) -> float:
        """Power that the site uses, whichever source carries it."""
        inputs = np.where(self._fed, self.ups_input_w, self._drawn_w())
        return float(inputs.sum()) + (mechanical_w if self.mains else 0.0)

    def _drawn_w(self) -> Floats:
        p = self.p
        fixed_w = np.where(self._bypass, p.bypass_fixed_w, p.ups_fixed_w)
        efficiency = np.where(self._bypass, p.bypass_efficiency, p.ups_efficiency)
        return fixed_w + np.maximum(self.ups_load_w, 0.0) / efficiency

    def _ups_live(self) -> Flags:
        return self._fed | (~self._bypass & (self.charge > 0))

    def _step_sources(self, dt_s: float, *, utility_available: bool, generator_fails: bool) -> None:
        was_live = self.mains
        self.utility_available = utility_available
        self.utility_v = self.p.phase_v if utility_available else 0.0
        if utility_available:
            self._utility_lost_s = 0.0
            self._utility_back_s += dt_s
            if self.on_generator and self._utility_back_s >= self.p.retransfer_s:
                self.on_generator = False
                self._cooldown_s = self.p.cooldown_s
            if self.gen_running and not self.on_generator:
                self._cooldown_s -= dt_s
                self.gen_running = self._cooldown_s > 0
        else:
            self._utility_back_s = 0.0
            self._utility_lost_s += dt_s
            self._cooldown_s = 0.0
            starts = self.fuel > 0 and not generator_fails
            self.gen_running = self.gen_running and not generator_fails
            if self._utility_lost_s >= self.gen_start_s and starts:
                self.gen_running = True
            if self._utility_lost_s >= self.gen_start_s + self.p.transfer_s:
                self.on_generator = self.gen_running
        waited = self._utility_lost_s >= self.gen_start_limit_s
        self.gen_start_failed = waited and not self.gen_running
        live = self.mains
        self.mains_on_s = self.mains_on_s + dt_s if live and was_live else 0.0
