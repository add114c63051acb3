"""Conditions and the expectation that the cooling actions share."""

from __future__ import annotations

from approvals.catalogue.base import Condition, Expectation, Write
from approvals.catalogue.situation import INLET_LIMIT_C, Situation


def chilled_water(situation: Situation) -> list[Condition]:
    """A CRAC without chilled water only moves warm air: one chiller and one pump must run."""
    conditions = []
    for tags, what in ((situation.chillers, "chiller"), (situation.pumps, "chilled-water pump")):
        if tags:
            tag = situation.first_running(tags)
            conditions.append(
                Condition(
                    f"{tag}.running", ">=", 1, f"a {what} must run, or the coil has no cold water"
                )
            )
    return conditions


def inlet_expectation(
    situation: Situation,
    *,
    relief_w: float,
    confirm: tuple[Condition, ...] = (),
    rollback: tuple[Write, ...] = (),
    rack: str = "",
) -> Expectation:
    """The inlet of the alarmed rack (or of the hottest one) is below the ASHRAE limit when the
    window ends.
    """
    chosen = situation.rack(rack or situation.subject) or situation.hottest
    if chosen is None:
        raise ValueError(
            f"hall {situation.hall} has no rack with an inlet temperature to measure the effect on"
        )
    verb, span = ("stays", "for") if chosen.inlet_c < INLET_LIMIT_C else ("gets", "within")
    sentence = (
        f"{chosen.name} inlet {verb} below {INLET_LIMIT_C:g} °C {span} {situation.window_s:.0f} s "
        f"(now {chosen.inlet_c:.1f} °C); about {relief_w / 1000:.0f} kW freed"
    )
    return Expectation(
        tag=f"{chosen.tag}.inlet_c",
        direction="below",
        threshold=INLET_LIMIT_C,
        unit="Cel",
        window_s=situation.window_s,
        sentence=sentence,
        relief_w=relief_w,
        confirm=confirm,
        rollback=rollback,
    )
