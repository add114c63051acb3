"""Reading a snapshot: the value of every point at or before one time, with its age."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple

from django.db import connection
from django.utils import timezone

from facilities.models import Barrier

from .barrier import Outcome, remember, wait
from .watermarks import LOOK_BACK, SILENT_INTERVALS, SILENT_LEAST_S

Mode = Literal["complete", "latest"]
MODES: Final[tuple[Mode, ...]] = ("complete", "latest")
TIMEOUT_S: Final = 3.0
"""What a reader waits by default: one and a half intervals of the demo plant (assumed)."""

MAX_TIMEOUT_S: Final = 30.0
WORTH_NOTING_S: Final = 0.01


class SnapshotValue(NamedTuple):
    """A point at the snapshot's time: its reading at or before it, in ``unit``.

    ``quality`` is the reading's QARTOD flag; ``age_s`` how long before the snapshot it was taken;
    ``stale`` tells that its sensor had been silent for long.
    """

    tag: str
    asset: str
    quantity: str
    unit: str
    ts: datetime
    value: float
    quality: int
    age_s: float
    stale: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The facility at ``at``. ``complete``: every source was in up to then.

    With mode ``latest`` nobody waited and ``barrier`` is None.
    """

    at: datetime
    mode: Mode
    complete: bool
    waited_s: float
    values: dict[str, SnapshotValue]
    barrier: Outcome | None

    @property
    def slowest(self) -> str:
        """The source that made everyone wait, or an empty string."""
        return self.barrier.slowest if self.barrier else ""

    @property
    def missing(self) -> list[str]:
        """Sources that did not arrive before the time-out."""
        if self.barrier is None:
            return []
        return [a.source for a in self.barrier.arrivals if a.delay_s is None]


_SQL: Final = """
SELECT p.tag, a.tag, p.quantity, p.unit, v.ts, v.value, v.quality,
       extract(epoch FROM %(at)s - v.ts)::float8,
       coalesce(extract(epoch FROM %(at)s - v.ts)
                > greatest(p.sampling_interval_s * %(times)s, %(least)s), false)
FROM facilities_latestreading l
JOIN facilities_point p ON p.id = l.point_id
JOIN facilities_asset a ON a.id = p.asset_id
LEFT JOIN LATERAL (
    -- Only where the newest reading is younger than the snapshot.
    SELECT ts, value, quality FROM facilities_reading
    WHERE l.ts > %(at)s AND point_id = l.point_id AND ts <= %(at)s AND ts >= %(since)s
    ORDER BY ts DESC LIMIT 1
) past ON true
CROSS JOIN LATERAL (
    SELECT l.ts, l.value, l.quality WHERE l.ts <= %(at)s
    UNION ALL
    SELECT past.ts, past.value, past.quality WHERE past.ts IS NOT NULL
) v
WHERE %(tags)s::text[] IS NULL OR p.tag = ANY(%(tags)s)
ORDER BY p.tag
"""


def values_at(at: datetime, *, tags: Collection[str] | None = None) -> dict[str, SnapshotValue]:
    """Value of every point (or of these) at or before ``at``. One statement, so one state.

    A point without a reading in the day before ``at`` is left out, unless its newest reading of
    all is older.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _SQL,
            {
                "at": at,
                "since": at - LOOK_BACK,
                "times": SILENT_INTERVALS,
                "least": SILENT_LEAST_S,
                "tags": None if tags is None else list(tags),
            },
        )
        return {row[0]: SnapshotValue(*row) for row in cursor.fetchall()}


def snapshot(
    *,
    at: datetime | None = None,
    mode: Mode = "complete",
    timeout_s: float = TIMEOUT_S,
    tags: Collection[str] | None = None,
    reader: str = "",
) -> Snapshot:
    """The facility's state at ``at`` (default: now).

    ``complete`` waits until every source is in up to ``at``, at most ``timeout_s`` seconds, and
    keeps a note of who made ``reader`` wait; ``latest`` takes what is there. Raises ``ValueError``
    for a time to come or a time-out out of bounds.
    """
    now = timezone.now()
    moment = at or now
    if moment > now:
        raise ValueError(f"at {moment.isoformat()} is in the future; a snapshot looks back")
    if mode not in MODES:
        raise ValueError(f"mode {mode!r} is not one of {', '.join(MODES)}")
    if not 0 <= timeout_s <= MAX_TIMEOUT_S:
        raise ValueError(f"timeout_s {timeout_s:g} is not from 0 to {MAX_TIMEOUT_S:g}")
    if mode == "latest":
        return Snapshot(moment, mode, False, 0.0, values_at(moment, tags=tags), None)
    barrier = wait(at=moment, timeout_s=timeout_s)
    if barrier.waited_s >= WORTH_NOTING_S or not barrier.complete:
        remember(barrier, at=moment, timeout_s=timeout_s, asked=Barrier.Asked.READER, reader=reader)
    values = values_at(moment, tags=tags)
    return Snapshot(moment, mode, barrier.complete, barrier.waited_s, values, barrier)
