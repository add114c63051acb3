"""Day partitions of the readings table: made when needed, made ahead, dropped by retention."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from django.conf import settings
from django.db import connection, transaction

TABLE = "facilities_reading"
_NAME = re.compile(rf"{TABLE}_(\d{{8}})\Z")
LOCK_KEY = 0x686F6C64_72656164
"""Advisory lock for changes to partitions: "hold" "read" in ASCII."""

_known: set[date] = set()
_guard = threading.Lock()


def partition_name(day: date) -> str:
    """Return the table that holds a UTC day."""
    return f"{TABLE}_{day:%Y%m%d}"


def ensure_partitions(days: Iterable[date]) -> list[date]:
    """Make the partitions of these UTC days that do not exist; return the days made.

    Costs nothing for days that this process has seen. A partition is built as a table of its own
    and then attached, which does not block inserts into the others.
    """
    missing = set(days) - _known
    if not missing:
        return []
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])
        made = sorted(missing - set(existing_partitions()))
        for day in made:
            name = partition_name(day)
            cursor.execute(
                f"CREATE TABLE {name} (LIKE {TABLE} INCLUDING ALL); "
                f"ALTER TABLE {TABLE} ATTACH PARTITION {name} "
                f"FOR VALUES FROM ('{day} 00:00:00+00') TO ('{day + timedelta(days=1)} 00:00:00+00')"
            )
        transaction.on_commit(lambda: _remember(missing))
    return made


def _remember(days: set[date]) -> None:
    with _guard:
        _known.update(days)


def forget() -> None:
    """Forget which partitions exist; the next use asks the database again."""
    with _guard:
        _known.clear()


def existing_partitions() -> list[date]:
    """Return the UTC days that have a partition, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = %s::regclass ORDER BY 1",
            [TABLE],
        )
        names = [row[0] for row in cursor.fetchall()]
    found = (_NAME.match(name) for name in names)
    return [datetime.strptime(m[1], "%Y%m%d").replace(tzinfo=UTC).date() for m in found if m]


def drop_old_partitions(*, now: datetime | None = None) -> list[date]:
    """Drop the partitions whose every reading is older than the retention; return their days."""
    today = (now or datetime.now(UTC)).date()
    oldest_kept = today - timedelta(days=settings.RETENTION_DAYS)
    dropped = [day for day in existing_partitions() if day < oldest_kept]
    for day in dropped:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])
            cursor.execute(f"DROP TABLE IF EXISTS {partition_name(day)}")
    if dropped:
        forget()
    return dropped
