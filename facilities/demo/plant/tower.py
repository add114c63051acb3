"""Cooling tower: enthalpy-driven heat rejection, fan control, basin, make-up water."""

import math
from dataclasses import dataclass

from facilities.demo.plant.points import FacilitySpec


@dataclass(frozen=True)
class TowerParameters:
    """Constants of the tower and its condenser loop."""

    cp_j_kgk: float = 4186.0  # water; 1 L is taken as 1 kg
    basin_j_k: float = 5.0e6  # assumed 1.2 m3 of water in basin and pipes
    design_mean_c: float = 31.5  # assumed mean water temperature at the rated heat
    design_wet_bulb_c: float = 21.0  # assumed wet bulb at the rated heat
    draught: float = 0.10  # assumed share of the transfer with the fan standing
    fan_exponent: float = 0.65  # assumed, transfer over air flow
    fan_tau_s: float = 12.0  # assumed drive ramp
    gain_per_k_s: float = 0.0025  # assumed integral gain of the leaving water loop
    proportional_per_k: float = 0.10  # assumed
    evaporated: float = 0.82  # assumed share of the heat that leaves as vapour
    vapour_j_kg: float = 2.45e6  # water at about 20 °C
    cycles: float = 5.0  # assumed cycles of concentration: blowdown = evaporation / (cycles - 1)
    drift: float = 0.00005  # assumed share of the circulating water
    float_valve_s: float = 90.0  # assumed: make-up follows the basin level


class Tower:
    """One tower with its condenser pump."""

    def __init__(self, facility: FacilitySpec, *, parameters: TowerParameters) -> None:
        self.p = parameters
        a = facility.of_kind("tower")[0].attributes
        self.fan_rated_w = float(a["fan_w"])
        self.pump_rated_w = float(a["pump_w"])
        self.flow_w_k = parameters.cp_j_kgk * float(a["flow_lps"])
        self.flow_lps = float(a["flow_lps"])
        spread = _saturated_kj_kg(parameters.design_mean_c) - _saturated_kj_kg(
            parameters.design_wet_bulb_c
        )
        self._w_per_kj_kg = float(a["heat_w"]) / spread
        self.leaving_c = 24.0
        self.fan = 0.3
        self._integral = 0.3
        self.rejected_w = 0.0
        self.makeup_lps = 0.08
        self.running = True
        self.power_w = self.pump_rated_w

    def step(
        self,
        dt_s: float,
        *,
        heat_w: float,
        wet_bulb_c: float,
        run: bool,
        powered: bool,
        fan_tripped: bool,
        setpoint_c: float,
        fill: float,
    ) -> None:
        """Advance by dt_s with the chillers' condenser heat, W."""
        p = self.p
        error_k = self.leaving_c - setpoint_c
        self._integral = min(max(self._integral + p.gain_per_k_s * dt_s * error_k, 0.0), 1.0)
        target = min(max(self._integral + p.proportional_per_k * error_k, 0.0), 1.0)
        if not (run and powered) or fan_tripped:
            target = self._integral = 0.0
        self.fan += (target - self.fan) * _share(dt_s, p.fan_tau_s)
        self.running = run and powered
        flowing = 1.0 if run and powered else 0.05
        mean_c = self.leaving_c + heat_w / (2.0 * self.flow_w_k)
        draught = p.draught + (1.0 - p.draught) * self.fan**p.fan_exponent
        pull = _saturated_kj_kg(mean_c) - _saturated_kj_kg(wet_bulb_c)
        rejected_w = self._w_per_kj_kg * fill * draught * flowing * max(pull, 0.0)
        # Below the setpoint with the fan standing a bypass takes water past the fill.
        bypass = min(max(1.0 + error_k / 2.0, 0.0), 1.0) if self.fan < 0.02 else 1.0
        self.rejected_w = rejected_w * bypass
        self.leaving_c += dt_s * (heat_w - self.rejected_w) / p.basin_j_k
        evaporation = p.evaporated * self.rejected_w / p.vapour_j_kg
        lost = evaporation * (1.0 + 1.0 / (p.cycles - 1.0)) + p.drift * self.flow_lps
        self.makeup_lps += (lost - self.makeup_lps) * _share(dt_s, p.float_valve_s)
        pump_w = self.pump_rated_w if self.running else 0.0
        self.power_w = self.fan_rated_w * self.fan**3 + pump_w


def _saturated_kj_kg(air_c: float) -> float:
    """Enthalpy of saturated air at 101.3 kPa, kJ/kg of dry air (Magnus pressure)."""
    pressure_hpa = 6.1094 * math.exp(17.625 * air_c / (243.04 + air_c))
    ratio = 0.622 * pressure_hpa / (1013.25 - pressure_hpa)
    return 1.006 * air_c + ratio * (2501.0 + 1.86 * air_c)


def _share(dt_s: float, tau_s: float) -> float:
    return 1.0 - math.exp(-dt_s / tau_s)
