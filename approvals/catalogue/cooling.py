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
    window ends; where no rack of the hall has a reading, nothing is measurable.
    """
    chosen = situation.rack(rack or situation.subject) or situation.hottest
    if chosen is None:
        why = f"no rack of {situation.hall or 'this plant'} has an inlet temperature to measure by"
        return unmeasured(why, window_s=situation.window_s, confirm=confirm, rollback=rollback)
    verb, span = ("stays", "for") if chosen.inlet_c < INLET_LIMIT_C else ("gets", "within")
    freed = f"; about {relief_w / 1000:.0f} kW freed" if relief_w else ""
    sentence = (
        f"{chosen.name} inlet {verb} below {INLET_LIMIT_C:g} °C {span} {situation.window_s:.0f} s "
        f"(now {chosen.inlet_c:.1f} °C){freed}"
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


def unmeasured(
    sentence: str,
    *,
    window_s: float,
    confirm: tuple[Condition, ...] = (),
    rollback: tuple[Write, ...] = (),
) -> Expectation:
    """An expectation of which no point tells: the effect cannot be told."""
    return Expectation(
        tag="", direction="below", threshold=0.0, unit="", window_s=window_s, sentence=sentence,
        relief_w=0.0, confirm=confirm, rollback=rollback,
    )  # fmt: skip
