"""When an alarm is recorded but tells nobody: the shelf, maintenance windows, chattering."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import connection
from django.db.models import Q

from facilities.models import Alarm, AlarmEvent, AlarmPolicy, MaintenanceWindow, Shelf
from facilities.models.alarm import AlarmEventKind, Severity

from .groups import current_topology
from .many import any_of
from .table import Pair

if TYPE_CHECKING:
    from .lifecycle import Raise
    from .topology import Topology

PairKey = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Holds:
    """What holds back the alarms of some pairs now."""

    policy: AlarmPolicy
    shelves: dict[PairKey, Shelf]
    windows: Sequence[tuple[MaintenanceWindow, frozenset[int] | None]]
    """With the assets that a window on one asset covers; None where it names none."""

    def shelved_until(self, pair: Pair) -> datetime | None:
        """Until when the pair lies on the shelf."""
        shelf = self.shelves.get((pair.point.id, pair.rule.id))
        return shelf.until if shelf else None

    def window_of(self, pair: Pair) -> int | None:
        """The window that covers the pair. Alarms that protect people need one that says so."""
        for window, assets in self.windows:
            if (
                (assets is None or pair.point.asset_id in assets)
                and (window.hall_id is None or window.hall_id == pair.point.hall_id)
                and window.asset_kind in ("", pair.point.asset_kind)
                and (window.covers_safety or not pair.safety)
            ):
                return window.pk
        return None


def read_holds(pairs: Sequence[Pair], now: datetime) -> Holds:
    """Read the policy, shelves and windows. Three queries, one more for windows on assets."""
    shelves = {
        (shelf.point_id, shelf.rule_id): shelf
        for shelf in Shelf.objects.filter(
            until__gt=now, point__in=any_of({pair.point.id for pair in pairs})
        )
    }
    windows = list(MaintenanceWindow.objects.filter(starts_at__lte=now, ends_at__gt=now))
    topology = current_topology() if any(window.asset_id for window in windows) else None
    return Holds(
        AlarmPolicy.current(), shelves, [(window, _covered(window, topology)) for window in windows]
    )


def _covered(window: MaintenanceWindow, topology: Topology | None) -> frozenset[int] | None:
    """The asset and everything in it or part of it."""
    if window.asset_id is None or topology is None:
        return None
    found, todo = {window.asset_id}, [window.asset_id]
    while todo:
        for inner in topology.inside.get(todo.pop(), ()):
            if inner not in found:
                found.add(inner)
                todo.append(inner)
    return frozenset(found)


def returning(raises: Sequence[Raise], held: Holds) -> dict[PairKey, int]:
    """Shelved pairs whose last alarm was raised or cleared on the shelf: that row opens again.

    So an alarm that chatters for a night is one row with a count, not thousands.
    """
    keys = [key for r in raises if (key := (r.pair.point.id, r.pair.rule.id)) in held.shelves]
    if not keys:
        return {}
    found: dict[PairKey, int] = {}
    rows = Alarm.objects.filter(
        point__in={point for point, _ in keys}, shelved_until__isnull=False
    ).order_by("raised_at", "pk")
    for pk, point, rule, cleared_at in rows.values_list("pk", "point_id", "rule_id", "cleared_at"):
        shelf = held.shelves.get((point, rule))
        if shelf and (cleared_at is None or cleared_at >= shelf.since):
            found[point, rule] = pk
    return found


def shelve_chattering(raises: Sequence[Raise], held: Holds, now: datetime) -> None:
    """Put pairs on the shelf that were raised too often lately (ISA-18.2). Two queries or none.

    Never alarms that protect people; critical ones only if the policy says so.
    """
    policy = held.policy
    first = min(r.sample.ts for r in raises) - timedelta(seconds=policy.chatter_window_s)
    counts: Counter[PairKey] = Counter()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT point_id, rule_id, raised_at FROM facilities_alarm "
            "WHERE point_id = ANY(%s) AND raised_at > %s",
            [list({r.pair.point.id for r in raises}), first],
        )
        newest = {(r.pair.point.id, r.pair.rule.id): r.sample.ts for r in raises}
        for point, rule, raised_at in cursor.fetchall():
            last = newest.get((point, rule))
            if last and last - raised_at < timedelta(seconds=policy.chatter_window_s):
                counts[point, rule] += 1
    pairs = {(r.pair.point.id, r.pair.rule.id): r.pair for r in raises}
    until = now + timedelta(seconds=policy.chatter_shelve_s)
    for key, count in counts.items():
        pair = pairs[key]
        if (
            count < policy.chatter_count
            or policy.chatter_shelve_s <= 0
            or pair.safety
            or key in held.shelves
            or (pair.rule.severity == Severity.CRITICAL and not policy.chatter_shelves_critical)
        ):
            continue
        reason = f"chattering: raised {count} times within {policy.chatter_window_s:g} s"
        Shelf.objects.update_or_create(
            point_id=key[0],
            rule_id=key[1],
            defaults={
                "since": now,
                "until": until,
                "reason": reason,
                "automatic": True,
                "shelved_by": None,
            },
        )
        on_shelf = Alarm.objects.filter(point=key[0], rule=key[1], raised_at__gt=first)
        newest_id = on_shelf.order_by("-raised_at", "-pk").values_list("pk", flat=True).first()
        if newest_id is not None:
            Alarm.objects.filter(pk=newest_id).update(shelved_until=until)
            AlarmEvent.objects.create(
                alarm_id=newest_id, at=now, event=AlarmEventKind.SHELVED, note=reason
            )


def quiet_now(now: datetime) -> Q:
    """Alarms that tell nobody at this time."""
    return (
        Q(suppressed=True)
        | Q(shelved_until__gt=now)
        | Q(maintenance__ends_at__gt=now, maintenance__starts_at__lte=now)
    )
