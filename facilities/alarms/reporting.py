"""Who reports a point, and what that source's own heartbeat says about its silence."""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from django.db import connection

SILENT_RULE: Final = "Source silent"
SILENT: Final = "silent"
"""Quantity of a source's heartbeat: 0 heard, 1 silent."""

EVALUATED: Final = timedelta(seconds=5)
"""A heartbeat that has said "silent" for this long has raised its alarm, or never will (shelved,
switched off)."""

HELD_AT_MOST_S: Final = 60.0
"""No longer than this does a silent point wait for its source's heartbeat: six of its turns."""

_UNTOLD: Final = """
SELECT p.id, s.id
FROM facilities_point p
JOIN facilities_source s ON s.id = p.source_id
LEFT JOIN facilities_point beat ON beat.asset_id = s.asset_id AND beat.quantity = %(silent)s
LEFT JOIN facilities_latestreading last ON last.point_id = beat.id
WHERE p.id = ANY(%(points)s) AND s.active AND s.heartbeat_timeout_s IS NOT NULL
  AND coalesce(s.last_seen_at, s.created_at) < %(now)s - s.heartbeat_timeout_s * interval '1 second'
  AND NOT EXISTS (SELECT 1 FROM facilities_alarm a
                  WHERE a.point_id = beat.id AND a.cleared_at IS NULL)
  AND NOT (coalesce(last.value, 0) >= 0.5 AND last.ts < %(told)s)
"""

_waiting: dict[int, float] = {}


def untold(points: Collection[int], *, now: datetime) -> set[int]:
    """Those of these points whose source is silent as a whole while its heartbeat has not said so
    yet: after a restart, for some seconds. Their own silence is told under that of the source.
    One query.
    """
    if not points:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            _UNTOLD,
            {"points": list(points), "now": now, "told": now - EVALUATED, "silent": SILENT},
        )
        rows = cursor.fetchall()
    sources = {source for _, source in rows}
    clock = time.monotonic()
    for source in _waiting.keys() - sources:
        del _waiting[source]
    for source in sources:
        _waiting.setdefault(source, clock)
    return {point for point, source in rows if clock - _waiting[source] < HELD_AT_MOST_S}


def forget() -> None:
    """Count the waiting anew."""
    _waiting.clear()
