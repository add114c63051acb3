"""Causes of building and safety: doors, humidity, water, the fire panel."""

from __future__ import annotations

from collections.abc import Iterator

from approvals.agent.causes.base import Suspicion, rule
from approvals.agent.facts import Facts

# Relative humidity above which the hall is too humid (ASHRAE TC 9.9 recommended: 60 %).
HUMID_PCT = 57.0


@rule
def doors_open(facts: Facts) -> Iterator[Suspicion]:
    """The containment stands open and hot air mixes into the cold aisles."""
    for hall in facts.of_kind("hall"):
        if not facts.at_least(hall.tag, "door_open", 1):
            continue
        yield (
            Suspicion(
                "door_open",
                hall.tag,
                f"the hot-aisle door of {hall.name} stands open",
                "building",
                2.0,
                frozenset({"rack.inlet_c", "hall.return_c", "crac.return_c", "server.inlet_c"}),
                {f"open_work_order@{hall.tag}": 0.9, "set_fan_speed": 0.3},
            )
            .speaks(True, f"{hall.tag}.door_open = 1", 20)
            .refuted(f"{hall.tag}.door_open is 0")
        )


@rule
def humid(facts: Facts) -> Iterator[Suspicion]:
    """The hall is too humid: the fresh-air unit's humidifier does not stop."""
    for hall in facts.of_kind("hall"):
        humidity = facts.value(hall.tag, "humidity_pct")
        if humidity is None or humidity < HUMID_PCT:
            continue
        yield (
            Suspicion(
                "humid_air",
                hall.tag,
                f"{hall.name} is too humid: its humidifier does not stop",
                "building",
                1.5,
                frozenset({"rack.inlet_rh_pct"}),
                {f"open_work_order@{hall.tag}": 0.9},
            )
            .speaks(True, f"relative humidity {humidity:.0f} %", 10)
            .refuted(f"{hall.tag}.humidity_pct falls below 57 %")
        )


@rule
def water_leaks(facts: Facts) -> Iterator[Suspicion]:
    """A detector is wet."""
    for detector in facts.of_kind("leak_detector"):
        if facts.at_least(detector.tag, "wet", 1):
            yield (
                Suspicion(
                    "water_leak",
                    detector.tag,
                    f"{detector.name} is wet: water under the floor",
                    "building",
                    2.0,
                    frozenset(),
                    {f"open_work_order@{detector.tag}": 0.95},
                )
                .speaks(True, f"{detector.tag}.wet = 1", 30)
                .refuted(f"{detector.tag}.wet is 0 and somebody has looked under the floor")
            )


@rule
def fire_panels(facts: Facts) -> Iterator[Suspicion]:
    """The panel is in alarm, or cannot be relied on."""
    for panel in facts.of_kind("fire_panel"):
        for quantity, cause, text, fit in (
            # People leave the hall; nothing is left to be changed from here.
            ("alarm", "fire_alarm", "is in alarm", 0.0),
            ("trouble", "fire_panel_trouble", "reports trouble and cannot be relied on", 0.95),
        ):
            if facts.at_least(panel.tag, quantity, 1):
                yield (
                    Suspicion(
                        cause,
                        panel.tag,
                        f"{panel.name} {text}",
                        "building",
                        2.0,
                        frozenset(),
                        {f"open_work_order@{panel.tag}": fit} if fit else {},
                    )
                    .speaks(True, f"{panel.tag}.{quantity} = 1", 30)
                    .refuted(f"{panel.tag}.{quantity} is 0")
                )
