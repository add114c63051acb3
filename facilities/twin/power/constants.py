"""Constants of the electrical system, each with its source."""

from __future__ import annotations

from dataclasses import dataclass

from facilities.twin.constants import Constants, constant
from facilities.twin.site import Floats

Number = float | Floats


@dataclass(frozen=True)
class PowerConstants(Constants):
    """Shares are of an asset's rating; attributes of the asset (``rated_w``, ``start_s``…) win."""

    # UPS, double conversion
    ups_fixed: Number = constant(
        0.010, "assumed; no-load loss, form of Schneider Electric white paper 108", spread=0.10
    )
    ups_proportional: Number = constant(
        0.026, "assumed; switching loss, form of white paper 108", spread=0.10
    )
    ups_square: Number = constant(
        0.012, "assumed; white paper 108 gives 1 to 4 % of square-law loss at high load", spread=0.2
    )
    ups_bypass_loss: Number = constant(0.01, "assumed; thyristors of the static bypass")
    ups_rated_w: Number = constant(300_000, "assumed where the asset has no rated_w")
    ups_overload_from: Number = constant(
        1.04, "Liebert Series 610 manual: 104 % of rated load continuously"
    )
    ups_overload_s: Number = constant(
        1.545, "fit to Liebert Series 610 manual: 125 % for 600 s, 150 % for 30 s"
    )
    ups_overload_power: Number = constant(3.82, "assumed: fit to the same two points")
    ups_overload_cooling_s: Number = constant(600, "assumed; time to recover from an overload")
    # battery
    battery_min: Number = constant(10, "assumed where the asset has no battery_min_at_rated")
    peukert: Number = constant(
        1.25,
        "Servnet, UPS runtime explained: about 1.25 for valve-regulated lead acid",
        spread=0.04,
    )
    peukert_low: Number = constant(0.05, "assumed; below this share of rating the capacity is full")
    charger: Number = constant(0.06, "assumed; charger limit as a share of the UPS rating")
    charge_tau_s: Number = constant(1800, "assumed; taper of the constant-voltage phase")
    charge_efficiency: Number = constant(0.90, "assumed; lead acid, energy kept of energy put in")
    # PDU: transformer and main breaker
    pdu_fixed: Number = constant(
        0.0026, "10 CFR 431.196: 98.83 % at 35 % load for 150 kVA dry-type; split assumed"
    )
    pdu_square: Number = constant(0.0125, "the same point: 0.26 + 0.35² · 1.25 = 1.17 % · 0.35")
    pdu_rated_w: Number = constant(150_000, "assumed where the asset has no rated_w")
    breaker_hold: Number = constant(
        1.05, "IEC 60947-2: conventional non-tripping current (Schneider FAQ FA369327)"
    )
    breaker_trip: Number = constant(
        1.30, "IEC 60947-2: conventional tripping current (Schneider FAQ FA369327)"
    )
    breaker_tau_s: Number = constant(600, "assumed; trips within 5 min at twice the rating")
    breaker_instant: Number = constant(8.0, "assumed; magnetic release at 8 times the rating")
    # generator
    generator_rated_w: Number = constant(500_000, "assumed where the asset has no rated_w")
    generator_start_s: Number = constant(12, "assumed where the asset has no start_s")
    generator_start_limit_s: Number = constant(15, "assumed where the asset has no start_limit_s")
    transfer_s: Number = constant(3, "assumed; generator voltage good to switch closed")
    retransfer_s: Number = constant(30, "assumed; utility good before going back to it")
    cooldown_s: Number = constant(120, "assumed; generator runs without load before it stops")
    generator_overload_from: Number = constant(1.0, "assumed; rated load continuously")
    generator_overload_s: Number = constant(
        0.793, "assumed: fit to 110 % for 1 h (ISO 8528-1, recalled) and 10 s at 150 %"
    )
    generator_overload_power: Number = constant(3.657, "assumed: fit to the same two points")
    fuel_fixed_l_h_w: Number = constant(
        20.8e-6, "line through a fuel chart: 500 kW burns 41.6 L/h at 1/4, 135.1 at full load"
    )
    fuel_l_wh: Number = constant(0.2493e-3, "the same line, L per Wh delivered")
    tank_l: Number = constant(4000, "assumed where the generator has no tank_l")
    fuel: Number = constant(0.9, "assumed fill where no reading is known")
    # voltages and the rest
    nominal_v: Number = constant(
        400, "assumed (IEC 60038, recalled), phase to phase; attribute nominal_v wins"
    )
    power_factor: Number = constant(0.98, "assumed; power-factor-corrected supplies")
    psu_fixed_w: Number = constant(
        13, "RAPS (ExaDigiT, commit 6c142bfd) power.py: last stage before a node"
    )
    psu_efficiency: Number = constant(0.98, "RAPS power.py, the same stage", spread=0.005)
    rectifier_fixed_w: Number = constant(17, "RAPS power.py: rectifier stage, per rectifier")
    rectifier_efficiency: Number = constant(0.96, "RAPS power.py, the same stage", spread=0.005)
    leaf_w: Number = constant(
        850, "assumed; 32-port 400 Gb/s switch; attribute power_w wins", spread=0.1
    )
    other_it_share: Number = constant(
        0.6, "assumed; general IT of a rack without servers, share of its rating", spread=0.1
    )
    other_it_rated_w: Number = constant(8_000, "assumed where the rack has no rated_w")
    lighting_w_per_rack: Number = constant(
        50, "assumed; LED, 7 W/m² over 7 m² of hall per rack; attribute lighting_w of the hall wins"
    )
