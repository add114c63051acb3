"""Writes the placements of ``grouping`` to the alarms, and keeps the topology in the process."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.db import connection

from facilities.models import AlarmEvent, AlarmPolicy, Asset, AssetLink
from facilities.models.alarm import SAFETY_KINDS, SEVERITY_ORDER, AlarmEventKind

from . import announce
from .grouping import Open, Placement, Window, place
from .table import rule_table
from .topology import Topology, domain_of, topology_of

GROUP_LOCK: Final = 0x616C6772 << 32
"""Advisory lock of whoever places alarms: "algr"; placements of two workers would mix."""

_lock = threading.Lock()
_topology: tuple[int | None, Topology] = (None, Topology())


class Moved(NamedTuple):
    """Alarms that are hidden since now, and alarms that are shown again."""

    hidden: list[int]
    released: list[int]


def current_topology() -> Topology:
    """Return the graph as it is now. One query while the data list has not changed."""
    global _topology
    version = rule_table().version
    if version is not None and _topology[0] == version:
        return _topology[1]
    with _lock:
        assets = list(Asset.objects.values_list("pk", "tag", "kind", "parent_id", "rack__tag"))
        by_tag = {tag: pk for pk, tag, *_ in assets}
        inside = [
            (holder, pk)
            for pk, tag, _, parent, rack in assets
            for holder in (parent, by_tag.get(rack) if rack != tag else None)
            if holder is not None
        ]
        links = AssetLink.objects.values_list("kind", "source_id", "target_id")
        graph = topology_of(
            kinds={pk: kind for pk, _, kind, *_ in assets}, links=links, inside=inside
        )
        _topology = (version, graph)
        return graph


# Active alarms, and cleared ones that still hide something.
_OPEN: Final = """
SELECT a.id, a.point_id, p.asset_id, s.kind, p.quantity, p.unit, p.enum IS NOT NULL, r.kind,
       a.severity, a.raised_at, a.cleared_at, a.root_id, a.suppressed, r.safety,
       a.shelved_until IS NOT NULL AND a.shelved_until > %(now)s
       OR w.id IS NOT NULL AND w.starts_at <= %(now)s AND w.ends_at > %(now)s,
       so.asset_id
FROM facilities_alarm a
JOIN facilities_point p ON p.id = a.point_id
JOIN facilities_asset s ON s.id = p.asset_id
JOIN facilities_alarmrule r ON r.id = a.rule_id
LEFT JOIN facilities_source so ON so.id = p.source_id
LEFT JOIN facilities_maintenancewindow w ON w.id = a.maintenance_id
WHERE a.cleared_at IS NULL OR a.cleared_at > %(since)s AND EXISTS (
    SELECT 1 FROM facilities_alarm c WHERE c.cleared_at IS NULL AND c.root_id = a.id)
"""


def regroup(*, now: datetime) -> Moved:
    """Place every active alarm anew. Call in a transaction; repeating it changes nothing.

    Three queries when nothing moves. The caller tells people about ``released``.
    """
    policy = AlarmPolicy.current()
    since = now - timedelta(seconds=policy.release_after_s)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [GROUP_LOCK])
        cursor.execute(_OPEN, {"now": now, "since": since})
        alarms = [_open(*row) for row in cursor.fetchall()]
    if len(alarms) < 2 and not any(alarm.suppressed for alarm in alarms):
        return Moved([], [])
    window = Window(policy.suppress_before_s, policy.suppress_window_s)
    placements = place(alarms, current_topology(), window)
    return _write(alarms, placements, now)


def _open(
    pk: int,
    point_id: int,
    asset_id: int,
    asset_kind: str,
    quantity: str,
    unit: str,
    is_state: bool,
    rule_kind: str,
    severity: str,
    raised_at: datetime,
    cleared_at: datetime | None,
    root_id: int | None,
    suppressed: bool,
    safety: bool,
    quiet: bool,
    reporter: int | None,
) -> Open:
    return Open(
        id=pk,
        point_id=point_id,
        asset_id=asset_id,
        domain=domain_of(asset_kind=asset_kind, quantity=quantity, unit=unit, is_state=is_state),
        rule_kind=rule_kind,
        rank=SEVERITY_ORDER[severity],
        raised_at=raised_at,
        cleared_at=cleared_at,
        root_id=root_id,
        suppressed=suppressed,
        safety=safety or asset_kind in SAFETY_KINDS,
        quiet=bool(quiet),
        reporter=reporter,
    )


def _write(alarms: list[Open], placements: dict[int, Placement], now: datetime) -> Moved:
    """Update the rows that differ. A released alarm keeps its root: the history of its group."""
    changed: list[tuple[int, int | None, bool]] = []
    moved = Moved([], [])
    for alarm in alarms:
        placement = placements.get(alarm.id)
        if placement is None:
            continue
        root = placement.root_id if placement.root_id is not None else alarm.root_id
        if (root, placement.suppressed) == (alarm.root_id, alarm.suppressed):
            continue
        changed.append((alarm.id, root, placement.suppressed))
        if placement.suppressed and not alarm.suppressed:
            moved.hidden.append(alarm.id)
        elif alarm.suppressed and not placement.suppressed:
            moved.released.append(alarm.id)
    if not changed:
        return moved
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE facilities_alarm a SET root_id = new.root, suppressed = new.suppressed "
            "FROM unnest(%s::bigint[], %s::bigint[], %s::boolean[]) AS new (id, root, suppressed) "
            "WHERE a.id = new.id",
            [list(column) for column in zip(*changed, strict=True)],
        )
    names = dict(_names([root for _, root, _ in changed if root is not None]))
    roots = {pk: root for pk, root, _ in changed}
    AlarmEvent.objects.bulk_create(
        [
            AlarmEvent(
                alarm_id=pk,
                at=now,
                event=AlarmEventKind.SUPPRESSED,
                note=f"a consequence of {names.get(roots[pk] or 0, 'another alarm')}"[:500],
            )
            for pk in moved.hidden
        ]
        + [
            AlarmEvent(
                alarm_id=pk,
                at=now,
                event=AlarmEventKind.UNSUPPRESSED,
                note="it outlasted its cause, or its cause is no longer seen",
            )
            for pk in moved.released
        ]
    )
    announce.tell_on_commit(moved.released, AlarmEventKind.UNSUPPRESSED)
    hidden = set(moved.hidden)
    announce.tell_on_commit(
        [pk for pk, _, suppressed in changed if suppressed and pk in hidden],
        AlarmEventKind.SUPPRESSED,
    )
    return moved


def _names(ids: list[int]) -> list[tuple[int, str]]:
    from facilities.models import Alarm

    rows = Alarm.objects.filter(pk__in=set(ids)).values_list("pk", "rule__name", "point__tag")
    return [(pk, f"{rule} on {tag}") for pk, rule, tag in rows]
