"""Sentences from evidence.

Nothing here comes from the model: every number is a reading, a nameplate or a step.
"""

from __future__ import annotations

from typing import Any

from approvals.agent.causes.base import Hypothesis
from approvals.agent.occasion import Occasion
from approvals.agent.rank import Candidate
from approvals.agent.support import name_step
from approvals.canonical import iso_utc
from approvals.catalogue.situation import INLET_LIMIT_C, Situation, needed_w

UNITS = {"Cel": " °C", "%": " %", "W": " W", "1": ""}


def occasion_evidence(occasion: Occasion) -> dict[str, Any]:
    """What the agent was looking at, as a piece of evidence."""
    common = {
        "name": occasion.title,
        "tag": occasion.point or occasion.asset,
        "at": occasion.at,
        "text": occasion.message,
    }
    if occasion.alarm is None:
        return {"kind": "occasion", "trigger": occasion.trigger, **common}
    return {
        "kind": "alarm",
        "alarm": occasion.alarm,
        "severity": occasion.severity,
        "value": occasion.value,
        "unit": occasion.unit,
        **common,
    }


def reading_evidence(situation: Situation, tags: list[str]) -> list[dict[str, Any]]:
    """Latest values of `tags` as evidence, in the given order, unknown ones left out."""
    return [
        {"kind": "reading", "tag": tag, "value": m.value, "unit": m.unit, "at": iso_utc(m.ts)}
        for tag in dict.fromkeys(tags)
        if (m := situation.values.get(tag)) is not None
    ]


def facts(occasion: Occasion, situation: Situation) -> list[str]:
    """Short factual sentences about the occasion and the hall's cooling, most telling first."""
    sentences = [_opening(occasion)]
    for lost in situation.lost_units:
        state = "reports a fault" if lost.fault else "is commanded on but does not run"
        sentences.append(
            f"{lost.name} {state}; {lost.capacity_w / 1000:.0f} kW of cooling at "
            f"{lost.fan_sp_pct:g} % fan is lost"
        )
    if situation.units:
        sentences.append(
            f"running units can remove {situation.capacity_w / 1000:.0f} kW at their present fan "
            f"speeds; the racks give off {situation.heat_w / 1000:.0f} kW"
        )
    if situation.hottest is not None:
        sentences.append(
            f"hottest rack inlet: {situation.hottest.name} at {situation.hottest.inlet_c:.1f} °C "
            f"(recommended limit {INLET_LIMIT_C:g} °C)"
        )
    return sentences


def _opening(occasion: Occasion) -> str:
    if occasion.value is None:
        return f"{occasion.title} ({occasion.at[11:19]} UTC)"
    unit = UNITS.get(occasion.unit, f" {occasion.unit}" if occasion.unit else "")
    return (
        f"{occasion.asset_name}: {occasion.what} ({occasion.point} = {occasion.value:g}{unit} at "
        f"{occasion.at[11:19]} UTC)"
    )


def group_facts(consequences: list[str]) -> list[str]:
    """One sentence about the alarms that are hidden as consequences of this one."""
    if not consequences:
        return []
    named = ", ".join(consequences[:3]) + (" and others" if len(consequences) > 3 else "")
    return [f"taken for its consequences: {len(consequences)} alarms ({named})"]


def cause_sentence(leading: Hypothesis | None) -> str:
    """The leading hypothesis with what speaks for it; "" without one."""
    if leading is None:
        return ""
    grounds = f" ({'; '.join(leading.evidence[:3])})" if leading.evidence else ""
    return f"most likely cause: {leading.text}{grounds}"


def rationale(
    best: Candidate, sentences: list[str], situation: Situation, leading: Hypothesis | None
) -> str:
    """Why this action: the facts, the cause, what it brings against what is missing, and the step
    that instructs it.
    """
    told = [sentence for sentence in (*sentences, cause_sentence(leading)) if sentence]
    body = ". ".join(s[0].upper() + s[1:] for s in told)
    brings = (
        f"{best.title} frees about {best.expectation.relief_w / 1000:.0f} kW of about "
        f"{needed_w(situation) / 1000:.0f} kW needed."
        if best.expectation.relief_w > 0
        else f"{best.title}: {best.expectation.sentence or 'nothing is measured afterwards'}."
    )
    return f"{body}. {brings} {name_step(best.support.citation)} instructs it."


def telling_tags(best: Candidate, occasion: Occasion, situation: Situation) -> list[str]:
    """Points worth showing on the card: the occasion's, the effect's, and the target's and lost
    units' state.
    """
    tags = [occasion.point, best.expectation.tag, *(c.tag for c in best.checked)]
    for asset in (*(u.tag for u in situation.lost_units), best.action.target):
        tags += [
            f"{asset}.running",
            f"{asset}.fault",
            f"{asset}.supply_c",
            f"{asset}.fan_speed_sp_pct",
        ]
    return [*tags, f"{situation.hall}.it_power_w"]
