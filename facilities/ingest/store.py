"""Durable storage of a validated batch: one COPY, one transaction, no deadlocks."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

import psycopg
from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper

from facilities import partitions
from facilities.ingest.validate import ValidReading
from facilities.models.reading import Quality

_PG_EPOCH_US: Final = 946_684_800_000_000
"""2000-01-01 in microseconds since 1970: PostgreSQL counts from there."""

_DAY_US: Final = 86_400_000_000
_EPOCH_DAY: Final = datetime(1970, 1, 1, tzinfo=UTC).date()

# One COPY BINARY tuple: field count, then length and value of each field (PostgreSQL manual,
# COPY, "Binary Format").
_ROW: Final = struct.Struct("!hiqiqid")
_HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER: Final = b"\xff\xff"

_INCOMING: Final = """
CREATE TEMP TABLE IF NOT EXISTS facilities_incoming (
    point_id bigint NOT NULL, ts timestamptz NOT NULL, value float8 NOT NULL
) ON COMMIT DELETE ROWS
"""
_INSERT: Final = """
INSERT INTO facilities_reading (point_id, ts, value, quality, source_id, received_at)
SELECT point_id, ts, value, %s, %s, %s FROM facilities_incoming
ON CONFLICT DO NOTHING
"""
# COPY wrote the rows ordered by (point, time), and every batch touches LatestReading in the order
# of point_id: two batches can wait for one another, but never in a circle.
_LATEST: Final = """
INSERT INTO facilities_latestreading AS latest (point_id, ts, value, quality, received_at)
SELECT DISTINCT ON (point_id) point_id, ts, value, %s, %s
FROM facilities_incoming ORDER BY point_id, ts DESC
ON CONFLICT (point_id) DO UPDATE
SET ts = EXCLUDED.ts, value = EXCLUDED.value, quality = EXCLUDED.quality,
    received_at = EXCLUDED.received_at
WHERE latest.ts < EXCLUDED.ts
RETURNING point_id, ts, value
"""


class NewValue(NamedTuple):
    """A point's latest reading, as this batch replaced it."""

    point_id: int
    ts: datetime
    value: float


class Stored(NamedTuple):
    """What a batch changed: rows inserted (duplicates are not) and new latest values."""

    inserted: int
    latest: list[NewValue]


def store(readings: Sequence[ValidReading], *, source_id: int | None, now: datetime) -> Stored:
    """Commit the readings. On return they survive a crash; on an exception none is stored.

    A (point, ts) that exists stays as it is; of two equal ones in the batch the first wins. Raises
    ``django.db.OperationalError`` when the database is away and ``IntegrityError`` when a point
    was deleted meanwhile.
    """
    if not readings:
        return Stored(0, [])
    rows: dict[tuple[int, int], float] = {}
    for facts, ts_us, value in readings:
        rows.setdefault((facts.id, ts_us), value)
    partitions.ensure_partitions(_days(rows))
    try:
        return _store(rows, source_id, now)
    except IntegrityError as error:
        if not isinstance(error.__cause__, psycopg.errors.CheckViolation):
            raise
    # A partition known to this process is gone (retention, restore): ask the database again.
    partitions.forget()
    partitions.ensure_partitions(_days(rows))
    return _store(rows, source_id, now)


def _days(rows: dict[tuple[int, int], float]) -> set[date]:
    return {_EPOCH_DAY + timedelta(days=number) for number in {ts // _DAY_US for _, ts in rows}}


def _store(rows: dict[tuple[int, int], float], source_id: int | None, now: datetime) -> Stored:
    nested = connection.in_atomic_block
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_INCOMING)
        _copy(cursor, rows)
        cursor.execute(_INSERT, [Quality.GOOD, source_id, now])
        inserted = cursor.rowcount
        cursor.execute(_LATEST, [Quality.GOOD, now])
        latest = [NewValue(*row) for row in cursor.fetchall()]
        if nested:  # no commit of ours empties the temporary table
            cursor.execute("DELETE FROM facilities_incoming")
    return Stored(inserted, latest)


def _copy(cursor: CursorWrapper, rows: dict[tuple[int, int], float]) -> None:
    pack = _ROW.pack
    body = b"".join(
        [pack(3, 8, point, 8, ts - _PG_EPOCH_US, 8, rows[point, ts]) for point, ts in sorted(rows)]
    )
    copying = cursor.copy("COPY facilities_incoming FROM STDIN (FORMAT BINARY)")
    with connection.wrap_database_errors, copying as copy:
        copy.write(_HEADER + body + _TRAILER)
