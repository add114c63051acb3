"""Causes in the chilled, condenser and technology water."""

from __future__ import annotations

from collections.abc import Iterator

from approvals.agent.causes.base import Suspicion, rule, said
from approvals.agent.facts import Facts, Thing

# Flow of a pump below which it is worn: three quarters of the rated 12 L/s of the demo plant's
# (the rule "Chilled water flow low").
WORN_LPS = 9.0
# Condenser water at which the rule "Condenser water warm" raises, and a little before, °C.
CONDENSER_C = 32.0
TECHNOLOGY_C = 39.0
# Chilled water that still holds the supply air, °C (the rule "Chilled water supply warm").
CHILLED_C = 13.0
WARM = frozenset(
    {
        "crac.supply_c", "rack.inlet_c", "chiller.supply_c", "chiller.return_c", "pump.flow_lps",
        "hall.return_c",
    }
)  # fmt: skip


def _takes_over(facts: Facts, broken: Thing) -> Thing | None:
    """Another machine of the kind that runs, if there is one."""
    return next(
        (
            other
            for other in facts.of_kind(broken.kind)
            if other.tag != broken.tag
            and facts.at_least(other.tag, "running", 1)
            and not facts.at_least(other.tag, "fault", 1)
        ),
        None,
    )


@rule
def machines_tripped(facts: Facts) -> Iterator[Suspicion]:
    """A pump, chiller or tower reports a fault; its standby may have taken over."""
    for kind, leads in (
        ("pump", WARM),
        ("chiller", WARM),
        ("tower", frozenset({"tower.leaving_c", "chiller.fault", "chiller.supply_c"})),
    ):
        for broken in facts.of_kind(kind):
            if not facts.at_least(broken.tag, "fault", 1):
                continue
            other = _takes_over(facts, broken)
            remedies = {f"open_work_order@{broken.tag}": 0.85 if other else 0.6}
            if other is None:
                remedies |= {"start_standby_unit": 1.0, "shed_rack_load": 0.3}
            yield (
                Suspicion(
                    f"{kind}_tripped",
                    broken.tag,
                    f"{broken.name} has tripped",
                    "water",
                    2.0,
                    leads,
                    remedies,
                )
                .speaks(True, f"{broken.tag}.fault = 1", 40)
                .speaks(facts.below(broken.tag, "running", 1), f"{broken.tag} does not run", 3)
                .speaks(
                    other is not None and bool(leads & {"pump.flow_lps"}),
                    f"{facts.name(other.tag) if other else ''} runs and has taken over",
                    0.8,
                )
                .refuted(f"{broken.tag}.fault clears")
            )


@rule
def pumps_worn(facts: Facts) -> Iterator[Suspicion]:
    """A pump runs alone and gives too little flow."""
    running = [p for p in facts.of_kind("pump") if facts.at_least(p.tag, "running", 1)]
    for pump in running:
        flow = facts.value(pump.tag, "flow_lps")
        if flow is None or flow >= WORN_LPS + 0.5 or len(running) > 1:
            continue
        if facts.at_least(pump.tag, "fault", 1):
            continue
        yield (
            Suspicion(
                "pump_worn",
                pump.tag,
                f"{pump.name} gives too little flow",
                "water",
                1.5,
                WARM,
                {"start_standby_unit": 0.8, f"open_work_order@{pump.tag}": 0.85},
            )
            .speaks(True, f"{pump.tag} runs and gives {flow:.1f} L/s", 10)
            .speaks(
                any(facts.below(u.tag, "available", 0.5) for u in facts.of_kind("utility")),
                "the mains were lost and drives start again",
                0.1,
            )
            .refuted(f"{pump.tag}.flow_lps is above {WORN_LPS:g} L/s again")
        )


@rule
def water_warm(facts: Facts) -> Iterator[Suspicion]:
    """Chilled water is warm although no machine reports a fault."""
    for chiller in facts.of_kind("chiller"):
        supply = facts.value(chiller.tag, "supply_c")
        if supply is None or supply < CHILLED_C or not facts.at_least(chiller.tag, "running", 1):
            continue
        twin = [
            other
            for other in facts.of_kind("chiller")
            if other.tag != chiller.tag and facts.below(other.tag, "supply_c", CHILLED_C - 1)
        ]
        yield (
            Suspicion(
                "chiller_weak",
                chiller.tag,
                f"{chiller.name} no longer holds its water temperature",
                "water",
                1.0,
                WARM,
                {
                    "start_standby_unit": 0.8,
                    "set_chilled_water_setpoint": 0.5,
                    f"open_work_order@{chiller.tag}": 0.7,
                },
            )
            .speaks(True, f"{chiller.tag} runs and its water leaves at {supply:.1f} °C", 3)
            .speaks(
                bool(twin),
                f"{twin[0].tag if twin else ''} measures the same header colder",
                0.05,
            )
            .refuted(f"{chiller.tag}.supply_c falls below 12.5 °C")
        )


@rule
def tower_weak(facts: Facts) -> Iterator[Suspicion]:
    """Condenser water stays warm with the fan at full speed: scaled fill, or a lost fan."""
    for tower in facts.of_kind("tower"):
        leaving = facts.value(tower.tag, "leaving_c")
        fan = facts.value(tower.tag, "fan_speed_pct")
        if leaving is None or leaving < CONDENSER_C or facts.at_least(tower.tag, "fault", 1):
            continue
        yield (
            Suspicion(
                "tower_scaled",
                tower.tag,
                f"{tower.name} no longer cools the condenser water enough",
                "water",
                1.5,
                frozenset({"tower.leaving_c", "chiller.supply_c", "chiller.fault"}),
                {f"open_work_order@{tower.tag}": 0.9, "set_chilled_water_setpoint": 0.3},
            )
            .speaks(True, f"condenser water leaves at {leaving:.1f} °C", 4)
            .speaks(
                fan is not None and fan > 90, f"its fan turns at {said(fan)} %: air is there", 3
            )
            .speaks(
                fan is not None and 20 <= fan <= 90,
                f"its fan turns at {said(fan)} %: its controller sees no need",
                0.15,
            )
            .refuted(f"{tower.tag}.leaving_c falls below 31 °C")
        )


@rule
def technology_water(facts: Facts) -> Iterator[Suspicion]:
    """A CDU has tripped, or its exchanger no longer cools the water to the cold plates."""
    for cdu in facts.of_kind("cdu"):
        served = sorted(facts.downstream(cdu.tag, "cooling"))
        relief = {f"shed_rack_load@{tag}": 0.75 for tag in served}
        relief |= {f"migrate_rack_load@{tag}": 0.8 for tag in served}
        relief |= {
            f"set_gpu_power_cap@{gpu.tag}": 0.6 for tag in served for gpu in facts.gpus_of(tag)
        }
        supply, valve = facts.value(cdu.tag, "supply_c"), facts.value(cdu.tag, "valve_pct")
        hot = frozenset({"gpu.temp_c", "gpu.throttle_reasons", "cdu.supply_c", "cdu.flow_lps"})
        if facts.at_least(cdu.tag, "fault", 1):
            yield (
                Suspicion(
                    "cdu_tripped",
                    cdu.tag,
                    f"{cdu.name} has tripped: no water to the cold plates",
                    "water",
                    2.0,
                    hot | {"job.throughput_pct"},
                    {f"open_work_order@{cdu.tag}": 0.6, "start_standby_unit": 0.5, **relief},
                )
                .speaks(True, f"{cdu.tag}.fault = 1", 40)
                .speaks(facts.below(cdu.tag, "running", 1), f"{cdu.tag} does not run", 3)
                .refuted(f"{cdu.tag}.fault clears and its flow is back")
            )
        elif supply is not None and supply > TECHNOLOGY_C:
            yield (
                Suspicion(
                    "cdu_fouled",
                    cdu.tag,
                    f"{cdu.name}'s heat exchanger no longer cools enough",
                    "water",
                    1.5,
                    hot,
                    {f"open_work_order@{cdu.tag}": 0.85, **{k: v - 0.2 for k, v in relief.items()}},
                )
                .speaks(True, f"technology water leaves at {supply:.1f} °C", 5)
                .speaks(
                    valve is not None and valve > 80,
                    f"its primary valve is open at {said(valve)} %",
                    3,
                )
                .speaks(
                    valve is not None and 20 <= valve <= 80,
                    f"its primary valve is open at {said(valve)} %: its controller has room left",
                    0.15,
                )
                .refuted(f"{cdu.tag}.supply_c falls below 38 °C")
            )
