"""The tools that read the facility: each returns JSON values and writes nothing."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.db import DatabaseError
from django.db.models import Q
from django.utils import timezone

from approvals.agent import explain
from approvals.agent.facts import CONSPICUOUS_Z, OpenAlarm, Thing, situation_to_json
from approvals.agent.occasion import Occasion
from approvals.agent.world import Answer
from approvals.canonical import iso_utc
from approvals.catalogue.situation import needed_w
from approvals.situations import situation_read
from facilities import selectors
from facilities.alarms.kinds import KINDS
from facilities.correlation import correlate_alarm
from facilities.models import (
    Alarm,
    AnomalyEvent,
    Asset,
    Hall,
    MaintenanceWindow,
    PointQuality,
    Quality,
)
from facilities.tracking import reads

# How long the agent waits for the slowest source before it goes on with what is there (assumed).
SNAPSHOT_WAIT_S = 3.0
LISTED = 8
# Findings and residuals kept for the record.
KEPT = 40


def hall_for(inventory: selectors.Inventory, asset: str) -> str:
    """The hall an asset stands in, else the first that it serves over any link, else the first.

    Plant outside the halls (chillers, UPSs) is judged by what it does to a hall.
    """
    thing = inventory.assets.get(asset)
    if thing is not None and thing.hall:
        return thing.hall
    seen, queue = {asset}, deque([asset])
    while queue:
        here = queue.popleft()
        for _, source, target in sorted(inventory.links):
            if source != here or target in seen:
                continue
            other = inventory.assets.get(target)
            if other is not None and other.hall:
                return other.hall
            seen.add(target)
            queue.append(target)
    return Hall.objects.order_by("slug").values_list("slug", flat=True).first() or ""


def read_hall(occasion: Occasion) -> Answer:
    """One consistent state of the facility, its topology and the open alarms."""
    inventory = selectors.inventory()
    hall = hall_for(inventory, occasion.asset)
    taken = selectors.snapshot(mode="complete", timeout_s=SNAPSHOT_WAIT_S, reader="agent")
    alarm = (
        Alarm.objects.select_related("point__asset__parent", "rule").get(pk=occasion.alarm)
        if occasion.alarm
        else None
    )
    situation = situation_read(hall=hall, alarm=alarm, snapshot=taken)
    if alarm is None:
        thing = inventory.assets.get(occasion.asset)
        situation = replace(
            situation,
            subject=occasion.asset,
            subject_kind=occasion.asset_kind,
            subject_rack=_rack_of(inventory, occasion.asset) if thing else "",
            quantity=occasion.quantity,
        )
    consequences = _consequences(alarm)
    context = selectors.asset_context(tag=occasion.asset) if occasion.asset else None
    return {
        "hall": hall,
        "facts": [*explain.facts(occasion, situation), *explain.group_facts(consequences)],
        "situation": situation_to_json(situation),
        "things": _things(inventory),
        "links": [list(link) for link in sorted(inventory.links)],
        "alarms": [list(row) for row in _open_alarms()],
        "worked_on": _worked_on(),
        "snapshot": {
            "at": iso_utc(taken.at),
            "complete": taken.complete,
            "waited_s": round(taken.waited_s, 3),
            "waited_for": taken.slowest,
            "missing_sources": taken.missing,
        },
        "readings": len(situation.values),
        "connected": {
            link: [n.tag for n in near][:12]
            for link, near in (context.neighbours if context else {}).items()
        },
        "missing_cooling_w": round(needed_w(situation)) if situation.units else 0,
        "consequences": consequences[:20],
    }


def show_hall(answer: Answer) -> dict[str, Any]:
    """What the timeline shows of it; the whole state is in the record."""
    left_out = ("situation", "things", "links", "alarms")
    shown = {name: value for name, value in answer.items() if name not in left_out}
    return {**shown, "other_open_alarms": [OpenAlarm(*row).tag for row in answer["alarms"]][:20]}


def _consequences(alarm: Alarm | None) -> list[str]:
    if alarm is None:
        return []
    hidden = alarm.consequences.filter(cleared_at__isnull=True, suppressed=True)
    return list(hidden.order_by("raised_at", "pk").values_list("point__tag", flat=True))


def _worked_on() -> dict[str, str]:
    """Assets in a maintenance window now, with what is part of them → the reason given for it."""
    now = timezone.now()
    windows = MaintenanceWindow.objects.filter(starts_at__lte=now, ends_at__gt=now)
    found: dict[str, str] = {}
    for window in windows.order_by("pk"):
        wanted = Q()
        if window.asset_id:
            part_of = Q(pk=window.asset_id) | Q(parent=window.asset_id)
            wanted &= part_of | Q(parent__parent=window.asset_id)
        if window.hall_id:
            wanted &= Q(hall=window.hall_id)
        if window.asset_kind:
            wanted &= Q(kind=window.asset_kind)
        for tag in Asset.objects.filter(wanted).order_by("tag").values_list("tag", flat=True):
            found.setdefault(tag, window.reason)
    return found


def _rack_of(inventory: selectors.Inventory, tag: str) -> str:
    thing = inventory.assets[tag]
    return tag if thing.kind == "rack" else thing.rack


def _things(inventory: selectors.Inventory) -> list[list[str]]:
    roles = {
        tag: str(attributes.get("role", ""))
        for tag, attributes in Asset.objects.filter(attributes__has_key="role").values_list(
            "tag", "attributes"
        )
    }
    return [
        list(Thing(a.tag, a.name, a.kind, a.rack, a.hall, a.parent, roles.get(a.tag, "")))
        for a in sorted(inventory.assets.values())
    ]


def _open_alarms() -> list[OpenAlarm]:
    """Every alarm that is on and not put aside by people; those grouped under another count."""
    now = timezone.now()
    aside = Q(shelved_until__gt=now) | Q(maintenance__ends_at__gt=now)
    rows = (
        Alarm.objects.filter(cleared_at__isnull=True)
        .exclude(aside)
        .select_related("point__asset", "rule")
        .order_by("raised_at", "pk")[:200]
    )
    return [
        OpenAlarm(
            a.pk,
            a.rule.name,
            a.point.tag,
            a.point.asset.tag,
            a.point.asset.kind,
            a.point.quantity,
            a.value,
            a.severity,
            KINDS[a.rule.kind].of_instrument,
        )
        for a in rows
    ]


def read_findings() -> Answer:
    """What the followed twin, the quality tests and the anomaly detector find conspicuous now."""
    status = reads.status()
    followed = status.followed() if status.following else []
    return {
        "following": status.following,
        "residuals": {
            row["tag"]: {
                "measured": row["measured"],
                "predicted": row["predicted"],
                "z": round(row["z"], 2),
            }
            for row in followed[:KEPT]
            if abs(row["z"]) >= CONSPICUOUS_Z
        },
        "findings": [
            {
                "asset": found.asset.tag,
                "point": found.point.tag if found.point else "",
                "what": found.what,
                "text": found.text,
                "confidence": round(found.confidence, 3),
            }
            for found in reads.findings()[:KEPT]
        ],
        "doubts": _doubts(),
        "unusual": _unusual(),
    }


def show_findings(answer: Answer) -> dict[str, Any]:
    """The same, in sentences."""
    told = [
        *(f"{found['asset']}: {found['text']}" for found in answer["findings"]),
        *(f"{tag}: {why}" for tag, why in answer["doubts"].items()),
        *(
            f"{tag}: measured {row['measured']:g}, the twin expects {row['predicted']:g}"
            for tag, row in answer["residuals"].items()
        ),
        *(f"{tag}: {text}" for tag, text in answer["unusual"].items()),
    ]
    return {"following": answer["following"], "told": told[:LISTED], "found": len(told)}


def _doubts() -> dict[str, str]:
    """What the quality tests doubt, then what says nothing any more; at most `KEPT`."""
    rows = PointQuality.objects.filter(reads.of_instruments()).select_related("point")
    doubted = rows.filter(flag__in=(Quality.SUSPECT, Quality.FAIL)).order_by("-flag", "point__tag")
    silent = rows.filter(flag=Quality.MISSING).order_by("point__tag")
    return {
        row.point.tag: "; ".join(
            f"{name}: {test.get('detail', '')}"
            for name, test in sorted(row.tests.items())
            if test.get("flag", 0) >= Quality.SUSPECT
        )
        or f"quality flag {row.get_flag_display().lower()}"
        for row in [*doubted[:KEPT], *silent[:KEPT]][:KEPT]
    }


def _unusual() -> dict[str, str]:
    since = timezone.now() - timedelta(minutes=15)
    events = AnomalyEvent.objects.filter(last_at__gte=since).select_related("point")
    return {
        e.point.tag: f"{e.value:g} where {e.expected:g} was expected ({e.expert})"
        for e in events.order_by("-peak_score", "pk")[:KEPT]
    }


def read_moved(alarm_id: int) -> Answer:
    """What moved with the alarm's point: window, lag, correlation, distance and path of each."""
    alarm = Alarm.objects.select_related("point").get(pk=alarm_id)
    try:
        found = correlate_alarm(alarm=alarm, limit=LISTED)
    except (DatabaseError, ValueError) as error:
        problem = f"{type(error).__name__}: {error}"
        return {"error": problem, "problem": problem, "moved": []}
    return {
        "window": {"start": iso_utc(found.start), "end": iso_utc(found.end)},
        "step_s": found.step_s,
        "points_compared": found.points,
        "significant": found.significant,
        "reason": found.reason,
        "moved": [
            {
                "tag": match.tag,
                "r": match.r,
                "basis": match.basis,
                "lag_s": match.lag_s,
                "independent_pairs": match.effective,
                "q": float(f"{match.q:.2g}"),
                "distance": match.distance,
                "path": match.path,
                "score": match.score,
                "why": match.why,
            }
            for match in found.matches
        ],
    }
