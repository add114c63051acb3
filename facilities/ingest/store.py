"""Durable storage of a group: one binary COPY into the readings themselves, in one transaction."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Final

import numpy as np
import psycopg
from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper

from facilities import partitions, rollups
from facilities.ingest.pipeline import Group
from facilities.ingest.quarantine import quarantine_store

PG_EPOCH_US: Final = 946_684_800_000_000
"""2000-01-01 in microseconds since 1970: PostgreSQL counts from there."""

_DAY_US: Final = 86_400_000_000
_EPOCH_DAY: Final = datetime(1970, 1, 1, tzinfo=UTC).date()

# One COPY BINARY tuple: field count, then length and value of each field, big-endian
# (PostgreSQL manual, COPY, "Binary Format").
_TUPLE: Final = np.dtype(
    [
        ("fields", ">i2"),
        ("point_len", ">i4"),
        ("point", ">i8"),
        ("ts_len", ">i4"),
        ("ts", ">i8"),
        ("value_len", ">i4"),
        ("value", ">f8"),
        ("quality_len", ">i4"),
        ("quality", ">i2"),
        ("source_len", ">i4"),
        ("source", ">i8"),
        ("received_len", ">i4"),
        ("received", ">i8"),
    ]
)
BLANK: Final = np.array((6, 8, 0, 8, 0, 8, 0.0, 2, 0, 8, 0, 8, 0), _TUPLE)
HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER: Final = b"\xff\xff"

_FIELDS: Final = "point_id, ts, value, quality, source_id, received_at"
_COPY: Final = f"COPY facilities_reading ({_FIELDS}) FROM STDIN (FORMAT BINARY)"
_INCOMING: Final = """
CREATE TEMP TABLE IF NOT EXISTS facilities_incoming (
    point_id bigint NOT NULL, ts timestamptz NOT NULL, value float8 NOT NULL,
    quality smallint NOT NULL, source_id bigint, received_at timestamptz NOT NULL
) ON COMMIT DELETE ROWS
"""
_COPY_INCOMING: Final = f"COPY facilities_incoming ({_FIELDS}) FROM STDIN (FORMAT BINARY)"
_INSERT: Final = f"""
WITH stored AS (
    INSERT INTO facilities_reading ({_FIELDS}) SELECT {_FIELDS} FROM facilities_incoming
    ON CONFLICT DO NOTHING RETURNING source_id
)
SELECT source_id, count(*) FROM stored GROUP BY source_id
"""  # noqa: S608 - names of this module only

REPEATS_FOR_S: Final = 10.0
"""After a repeated reading was met, how long groups go through the temporary table at once."""

_repeats_until = 0.0


def forget() -> None:
    """Expect no repeated readings."""
    global _repeats_until
    _repeats_until = 0.0


def write(group: Group) -> None:
    """Commit a group. On return it survives a crash; on an exception nothing of it is stored.

    A (point, ts) that exists stays as it is. Readings go in the order of (point, time), so two
    processes can wait for one another, but never in a circle. Raises
    ``django.db.OperationalError`` when the database is away and ``DataError`` when something in
    the group cannot be stored.
    """
    began = time.perf_counter()
    body = copy_body(group)
    days = _days(group)
    partitions.ensure_partitions(days)
    try:
        _write(group, body)
    except IntegrityError as error:
        if not isinstance(error.__cause__, psycopg.errors.CheckViolation):
            raise
        # A partition known to this process is gone (retention, restore): ask the database again.
        partitions.forget()
        partitions.ensure_partitions(days)
        _write(group, body)
    group.store_s = time.perf_counter() - began


def copy_body(group: Group) -> bytes:
    """The group as the body of a binary COPY. About 30 ns a reading."""
    rows = np.empty(len(group), _TUPLE)
    rows[:] = BLANK
    rows["point"] = group.points()
    rows["ts"] = group.ts_us - PG_EPOCH_US
    rows["value"] = group.value
    rows["quality"] = group.flag
    rows["source"] = group.source_ids()
    rows["received"] = group.received_us() - PG_EPOCH_US
    return HEADER + rows.tobytes() + TRAILER


def _write(group: Group, body: bytes) -> None:
    global _repeats_until
    if time.monotonic() >= _repeats_until:
        try:
            _transaction(group, body, optimistic=True)
            return
        except IntegrityError as error:
            if not isinstance(error.__cause__, psycopg.errors.UniqueViolation):
                raise
            _repeats_until = time.monotonic() + REPEATS_FOR_S
    _transaction(group, body, optimistic=False)


def _transaction(group: Group, body: bytes, *, optimistic: bool) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        if len(group) and optimistic:
            _copy(cursor, _COPY, body)
        elif len(group):
            cursor.execute(_INCOMING)
            cursor.execute("DELETE FROM facilities_incoming")  # inside a test's own transaction
            _copy(cursor, _COPY_INCOMING, body)
            cursor.execute(_INSERT)
            group.repeats = _repeats(group, dict(cursor.fetchall()))
        if len(group):
            rollups.mark_readings(cursor, group.points(), group.ts_us, time.time_ns() // 1_000)
        if group.refusals:
            quarantine_store(cursor, group.refusals)


def _repeats(group: Group, stored: dict[int, int]) -> dict[int, int]:
    sources, counts = np.unique(group.source_ids(), return_counts=True)
    given = zip(sources.tolist(), counts.tolist(), strict=True)
    return {source: n - stored.get(source, 0) for source, n in given if n > stored.get(source, 0)}


def _copy(cursor: CursorWrapper, command: str, body: bytes) -> None:
    with connection.wrap_database_errors, cursor.copy(command) as copy:
        copy.write(body)


def _days(group: Group) -> set[date]:
    return {_EPOCH_DAY + timedelta(days=int(day)) for day in np.unique(group.ts_us // _DAY_US)}
