"""Causes on the air side: lost and limited cooling units, valves, coils, filters, too much heat."""

from __future__ import annotations

from collections.abc import Iterator

from approvals.agent.causes.base import Suspicion, rule, said
from approvals.agent.causes.instrument import redundants
from approvals.agent.facts import Facts
from approvals.catalogue.situation import INLET_LIMIT_C, CoolingUnit

WARM_AIR = frozenset(
    {
        "rack.inlet_c", "rack.outlet_c", "hall.return_c", "server.inlet_c", "crac.return_c",
        "crac.supply_c",
    }
)  # fmt: skip
# Supply air this far above its setpoint is not held (the rule "CRAC supply off setpoint"), K.
OFF_SETPOINT_K = 3.0
# Pressure drop at which filters are changed (the rule "CRAC filter loaded"), Pa.
FILTER_PA = 250.0
# A fan this far below its setpoint does not follow it, percentage points (assumed).
FAN_SHORT_PCT = 8.0
INSTEAD = {
    "start_standby_crac": 1.0,
    "set_fan_speed": 0.55,
    "set_supply_setpoint": 0.35,
    "shed_rack_load": 0.25,
    "migrate_rack_load": 0.2,
}


@rule
def units_lost(facts: Facts) -> Iterator[Suspicion]:
    """A unit that should cool and does not: stopped, or its fan limited by the drive."""
    dark = _no_power(facts)
    for unit in facts.situation.lost_units:
        fan = facts.value(unit.tag, "fan_speed_pct")
        short = fan is not None and fan < unit.fan_sp_pct - FAN_SHORT_PCT
        turning = unit.running and fan is not None and fan > 5
        yield (
            Suspicion(
                "fan_limited" if turning else "unit_lost",
                unit.tag,
                f"{unit.name}'s fan no longer follows its setpoint"
                if turning
                else f"{unit.name} has stopped",
                "air",
                2.0,
                WARM_AIR,
                _for_lost(unit),
            )
            .speaks(unit.fault, f"{unit.tag}.fault = 1", 40)
            .speaks(not unit.running, f"{unit.tag} reports that it does not run", 4)
            .speaks(bool(dark) and not unit.running and not unit.fault, dark, 0.05)
            .speaks(
                short and turning,
                f"its fan turns at {said(fan)} % where {unit.fan_sp_pct:g} % is set",
                3,
            )
            .speaks(
                unit.fault and unit.running and not short,
                f"{unit.tag} still runs at its fan setpoint",
                0.5,
            )
            .refuted(f"{unit.tag}.fault clears and {unit.tag}.running is 1")
        )


def _for_lost(unit: CoolingUnit) -> dict[str, float]:
    """A unit on duty is replaced; one on standby takes no cooling away and wants a repair alone."""
    order = f"open_work_order@{unit.tag}"
    if not unit.commanded and not unit.running:
        return {order: 0.95}
    return {**INSTEAD, order: 0.45, f"set_damper@{unit.tag}": 0.3}


def _no_power(facts: Facts) -> str:
    """That nothing feeds the cooling: the mains are lost and no generator carries them."""
    lost = [u.tag for u in facts.of_kind("utility") if facts.below(u.tag, "available", 0.5)]
    carried = any(facts.at_least(g.tag, "running", 1) for g in facts.of_kind("generator"))
    return (
        f"{lost[0]} is lost and no generator runs, which explains it"
        if lost and not carried
        else ""
    )


@rule
def supply_not_held(facts: Facts) -> Iterator[Suspicion]:
    """A unit runs and its supply air stays warm: the valve, the coil, or the water."""
    for unit in facts.situation.units:
        supply = facts.value(unit.tag, "supply_c")
        if not unit.running or supply is None or supply < unit.supply_sp_c + OFF_SETPOINT_K - 1:
            continue
        valve = facts.value(unit.tag, "valve_pct")
        others_too = _others_off(facts, unit)
        off = f"supply air {supply:.1f} °C where {unit.supply_sp_c:g} °C is set"
        remedies = {
            **INSTEAD,
            "start_standby_crac": 0.9,
            "set_fan_speed": 0.3,
            "set_supply_setpoint": 0.2,
            f"open_work_order@{unit.tag}": 0.85,
        }
        for cause, text, fits, words in (
            ("valve_stuck", "chilled water valve does not open", _closed(valve), "hardly open"),
            ("coil_fouled", "coil no longer cools enough", _open(valve), "wide open"),
        ):
            yield (
                Suspicion(
                    cause, unit.tag, f"{unit.name}'s {text}", "air", 1.0, WARM_AIR, dict(remedies)
                )
                .speaks(True, off, 6)
                .speaks(fits, f"its valve is {words} at {said(valve)} %", 5)
                .speaks(valve is not None and not fits, f"its valve stands at {said(valve)} %", 0.1)
                .speaks(others_too, "other units do not hold their supply air either", 0.1)
                .refuted(f"{unit.tag}.supply_c comes within 1.5 K of its setpoint")
            )


def _closed(valve: float | None) -> bool:
    return valve is not None and valve < 40


def _open(valve: float | None) -> bool:
    return valve is not None and valve >= 70


def _others_off(facts: Facts, unit: CoolingUnit) -> bool:
    others = [u for u in facts.situation.running_units if u.tag != unit.tag]
    off = [
        u for u in others if facts.at_least(u.tag, "supply_c", u.supply_sp_c + OFF_SETPOINT_K - 1)
    ]
    return bool(others) and len(off) == len(others)


@rule
def filters_loaded(facts: Facts) -> Iterator[Suspicion]:
    """The pressure drop over a filter is above the change limit."""
    for unit in facts.situation.units:
        drop = facts.value(unit.tag, "filter_dp_pa")
        if drop is None or drop < 0.9 * FILTER_PA:
            continue
        yield (
            Suspicion(
                "filter_loaded",
                unit.tag,
                f"{unit.name}'s filter is loaded",
                "air",
                1.5,
                WARM_AIR | {"crac.filter_dp_pa"},
                {f"open_work_order@{unit.tag}": 1.0, "start_standby_crac": 0.6},
            )
            .speaks(True, f"pressure drop {drop:.0f} Pa, to be changed at {FILTER_PA:g} Pa", 8)
            .speaks(drop < FILTER_PA, "the pressure drop is still below the change limit", 0.5)
            .refuted(f"{unit.tag}.filter_dp_pa falls below 220 Pa at the same fan speed")
        )


@rule
def too_much_heat(facts: Facts) -> Iterator[Suspicion]:
    """Nothing is broken; the racks give off more than the units remove, or the air goes astray."""
    situation = facts.situation
    hot = situation.hottest
    if hot is None or hot.inlet_c < INLET_LIMIT_C - 1.0:
        return
    healthy = bool(situation.units) and not situation.lost_units
    disagrees = redundants(facts, facts.things[hot.tag]) if hot.tag in facts.things else ""
    unheld = [
        unit
        for unit in situation.running_units
        if facts.at_least(unit.tag, "supply_c", unit.supply_sp_c + OFF_SETPOINT_K - 1)
    ]
    wide = sum(r.inlet_c > INLET_LIMIT_C - 1 for r in situation.racks)
    loaded = situation.capacity_w > 0 and situation.heat_w > 0.9 * situation.capacity_w
    remedies = {
        "set_fan_speed": 0.9,
        "set_supply_setpoint": 0.75,
        "start_standby_crac": 0.9,
        "set_gpu_power_cap": 0.3,
        "shed_rack_load": 0.3,
        "migrate_rack_load": 0.25,
    }
    yield (
        Suspicion(
            "too_little_air",
            hot.tag,
            f"{hot.name} gets too little cold air for its load",
            "air",
            1.0,
            WARM_AIR | {"rack.power_w", "gpu.temp_c"},
            remedies,
        )
        .speaks(True, f"{hot.name} inlet {hot.inlet_c:.1f} °C", 2)
        .speaks(
            healthy and not unheld, "every cooling unit that should run runs without a fault", 3
        )
        .speaks(
            bool(unheld),
            f"{unheld[0].name if unheld else ''} does not hold its supply air, which explains it "
            "better",
            0.05,
        )
        .speaks(
            loaded,
            f"the racks give off {situation.heat_w / 1000:.0f} kW, the running units can remove "
            f"{situation.capacity_w / 1000:.0f} kW",
            3,
        )
        .speaks(wide >= 2, f"{wide} racks are within 1 K of the limit or above", 2)
        .speaks(not healthy, "a cooling unit is lost, which explains it better", 0.2)
        .speaks(bool(disagrees), disagrees, 0.1)
        .refuted(f"{hot.tag}.inlet_c stays below {INLET_LIMIT_C - 2:g} °C for 2 min")
    )
