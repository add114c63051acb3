"""Sentences from evidence.

Nothing here comes from the model: every number is a reading, a nameplate or a step.
"""

from __future__ import annotations

from typing import Any

from approvals.agent.rank import Candidate
from approvals.agent.support import name_step
from approvals.canonical import iso_utc
from approvals.catalogue.situation import INLET_LIMIT_C, Situation, needed_w
from facilities.alarms.payload import signal_unit
from facilities.models import Alarm


def alarm_evidence(alarm: Alarm) -> dict[str, Any]:
    """The alarm as a piece of evidence."""
    return {
        "kind": "alarm",
        "alarm": alarm.pk,
        "tag": alarm.point.tag,
        "name": f"{alarm.point.asset.name}: {alarm.rule.name}",
        "severity": alarm.severity,
        "value": alarm.value,
        "unit": signal_unit(alarm),
        "at": iso_utc(alarm.raised_at),
        "text": alarm.message or alarm.rule.name,
    }


def reading_evidence(situation: Situation, tags: list[str]) -> list[dict[str, Any]]:
    """Latest values of `tags` as evidence, in the given order, unknown ones left out."""
    return [
        {"kind": "reading", "tag": tag, "value": m.value, "unit": m.unit, "at": iso_utc(m.ts)}
        for tag in dict.fromkeys(tags)
        if (m := situation.values.get(tag)) is not None
    ]


def facts(alarm: Alarm, situation: Situation) -> list[str]:
    """Short factual sentences about the alarm and the hall's cooling, most telling first."""
    asset, point = alarm.point.asset, alarm.point
    unit = signal_unit(alarm)
    unit = {"Cel": " °C", "%": " %", "W": " W"}.get(unit, f" {unit}" if unit else "")
    sentences = [
        f"{asset.name}: {alarm.rule.name} ({point.tag} = {alarm.value:g}{unit} at "
        f"{alarm.raised_at:%H:%M:%S} UTC)"
    ]
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


def group_facts(consequences: list[str]) -> list[str]:
    """One sentence about the alarms that are hidden as consequences of this one."""
    if not consequences:
        return []
    named = ", ".join(consequences[:3]) + (" and others" if len(consequences) > 3 else "")
    return [f"taken for its consequences: {len(consequences)} alarms ({named})"]


def rationale(best: Candidate, sentences: list[str], situation: Situation) -> str:
    """Why this action: the facts, what it brings against what is missing, and the step that
    instructs it.
    """
    body = ". ".join(s[0].upper() + s[1:] for s in sentences)
    return (
        f"{body}. {best.title} frees about {best.expectation.relief_w / 1000:.0f} kW of about "
        f"{needed_w(situation) / 1000:.0f} kW needed. {name_step(best.support.citation)} "
        "instructs it."
    )


def telling_tags(best: Candidate, alarm: Alarm, situation: Situation) -> list[str]:
    """Points worth showing on the card: the alarm's, the effect's, and the target's and lost units'
    state.
    """
    tags = [alarm.point.tag, best.expectation.tag]
    for asset in (*(u.tag for u in situation.lost_units), best.action.target):
        tags += [
            f"{asset}.running",
            f"{asset}.fault",
            f"{asset}.supply_c",
            f"{asset}.fan_speed_sp_pct",
        ]
    return [*tags, f"{situation.hall}.it_power_w"]
