"""Coolant distribution unit: a pumped loop through cold plates, cooled by chilled water."""

import math
from dataclasses import dataclass

from facilities.demo.plant.points import FacilitySpec


@dataclass(frozen=True)
class CduParameters:
    """Constants of the technology water loop."""

    cp_j_kgk: float = 4186.0  # water; 1 L is taken as 1 kg
    plate_j_k: float = 150_000.0  # assumed: cold plates, manifolds and their water
    loop_j_k: float = 200_000.0  # assumed: tank, pipes and exchanger
    primary_lps: float = 0.9  # assumed chilled water with the valve open
    valve_curve: float = 2.0  # assumed, flow over opening
    gain_per_k_s: float = 0.0012  # assumed integral gain of the supply loop
    proportional_per_k: float = 0.01  # assumed
    pump_tau_s: float = 3.0  # assumed
    air_loss_w_k: float = 60.0  # assumed: pipes to the hall


class Cdu:
    """One unit; heat moves plates -> return -> exchanger -> chilled water."""

    def __init__(self, facility: FacilitySpec, *, parameters: CduParameters) -> None:
        self.p = parameters
        a = facility.of_kind("cdu")[0].attributes
        self.rated_lps = float(a["flow_lps"])
        self.pump_rated_w = float(a["pump_w"])
        self.exchanger_w_k = float(a["exchanger_w_k"])
        self.supply_c, self.return_c = 32.0, 36.5
        self.speed, self.valve = 0.7, 0.4
        self._integral = 0.4
        self.running = True
        self.to_water_w = 0.0
        self.to_hall_w = 0.0

    @property
    def flow_lps(self) -> float:
        return self.rated_lps * self.speed

    @property
    def power_w(self) -> float:
        return self.pump_rated_w * self.speed**3 + (
            60.0 if self.running else 0.0
        )  # controls: assumed

    @property
    def stored_j(self) -> float:
        """Heat in the loop relative to 0 °C, J."""
        return self.p.plate_j_k * self.return_c + self.p.loop_j_k * self.supply_c

    def step(
        self,
        dt_s: float,
        *,
        heat_w: float,
        run: bool,
        speed_sp: float,
        supply_sp_c: float,
        exchanger: float,
        water_c: float,
        water_share: float,
        hall_c: float,
    ) -> None:
        """Advance by dt_s with the plates' heat, W; ``water_share`` of the chilled water flows."""
        p = self.p
        self.running = run
        self.speed += ((speed_sp if run else 0.0) - self.speed) * _share(dt_s, p.pump_tau_s)
        if self.speed < 1e-3:
            self.speed = 0.0
        error_k = self.supply_c - supply_sp_c
        self._integral = min(max(self._integral + p.gain_per_k_s * dt_s * error_k, 0.0), 1.0)
        target = min(max(self._integral + p.proportional_per_k * error_k, 0.02), 1.0)
        self.valve = target if run else 0.0
        secondary = p.cp_j_kgk * self.flow_lps
        primary = p.cp_j_kgk * p.primary_lps * self.valve**p.valve_curve * min(water_share, 1.0)
        removed_w = exchanged_w(
            secondary, primary, self.exchanger_w_k * exchanger, self.return_c - water_c
        )
        carried_w = secondary * (self.return_c - self.supply_c)
        loss_w = p.air_loss_w_k * (self.supply_c - hall_c)
        self.return_c += dt_s * (heat_w - carried_w) / p.plate_j_k
        self.supply_c += dt_s * (carried_w - removed_w - loss_w) / p.loop_j_k
        self.to_water_w, self.to_hall_w = removed_w, loss_w


def exchanged_w(hot_w_k: float, cold_w_k: float, ua_w_k: float, difference_k: float) -> float:
    """Heat of a counterflow exchanger, W (effectiveness-NTU, Kays & London)."""
    least, most = min(hot_w_k, cold_w_k), max(hot_w_k, cold_w_k)
    if least < 1.0 or difference_k <= 0:
        return 0.0
    ntu, ratio = ua_w_k / least, least / most
    if ratio > 0.999:
        effectiveness = ntu / (1.0 + ntu)
    else:
        e = math.exp(-ntu * (1.0 - ratio))
        effectiveness = (1.0 - e) / (1.0 - ratio * e)
    return effectiveness * least * difference_k


def _share(dt_s: float, tau_s: float) -> float:
    return 1.0 - math.exp(-dt_s / tau_s)
