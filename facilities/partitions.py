"""Partitions by time of readings and rollups: made when needed, made ahead, dropped by retention.

The readings have one partition per UTC day, as have the rollups by minute; the rollups by hour
have one per month. Where an extension owns the tables (``settings.STORE_LAYOUT``) it makes the
partitions, and only retention is left to do.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from functools import partial

import psycopg
from django.conf import settings
from django.db import OperationalError, connection, transaction

log = logging.getLogger(__name__)

TABLE = "facilities_reading"
LOCK_KEY = 0x686F6C64_72656164
"""Advisory lock for changes to partitions: "hold" "read" in ASCII."""

DROP_WAIT = "2s"
"""How long a drop waits for readers of the table, such as a backup. Commits of readings queue
behind a waiting drop, so it gives up soon and the next run tries again."""

VACUUMED = "WITH (autovacuum_vacuum_insert_scale_factor = 0.02)"
"""Rollups are read from the index alone, which works for pages that vacuum has seen."""


class PartitionedTable:
    """A table partitioned by UTC day, or by month, of its column ``ts``.

    ``retention`` names the setting that says how many days of it are kept.
    """

    def __init__(self, table: str, *, retention: str, monthly: bool = False) -> None:
        self.table = table
        self.retention = retention
        self.monthly = monthly
        self._name = re.compile(rf"{table}_(\d{{8}})\Z")
        self._with = VACUUMED if table != TABLE else ""
        self._known: set[date] = set()
        self._guard = threading.Lock()

    def partition_name(self, start: date) -> str:
        """Return the table that holds the day or month from ``start``."""
        return f"{self.table}_{start:%Y%m%d}"

    def start_of(self, day: date) -> date:
        """Return the first day of the partition that holds ``day``."""
        return day.replace(day=1) if self.monthly else day

    def end_of(self, start: date) -> date:
        """Return the first day after the partition that starts at ``start``."""
        if not self.monthly:
            return start + timedelta(days=1)
        return (start + timedelta(days=32)).replace(day=1)

    def ensure(self, days: Iterable[date]) -> list[date]:
        """Make the partitions of these UTC days that do not exist; return their first days.

        Costs nothing for days that this process has seen. A partition is built as a table of its
        own and then attached, which does not block inserts into the others.
        """
        missing = {self.start_of(day) for day in days} - self._known
        if not missing or settings.STORE_LAYOUT == "timescaledb":
            return []
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])
            made = sorted(missing - set(self.existing()))
            for start in made:
                name = self.partition_name(start)
                cursor.execute(
                    f"CREATE TABLE {name} (LIKE {self.table} INCLUDING ALL) {self._with}; "
                    f"ALTER TABLE {self.table} ATTACH PARTITION {name} FOR VALUES "
                    f"FROM ('{start} 00:00:00+00') TO ('{self.end_of(start)} 00:00:00+00')"
                )
            transaction.on_commit(partial(self._remember, missing))
        return made

    def _remember(self, starts: set[date]) -> None:
        with self._guard:
            self._known.update(starts)

    def forget(self) -> None:
        """Forget which partitions exist; the next use asks the database again."""
        with self._guard:
            self._known.clear()

    def existing(self) -> list[date]:
        """Return the first day of every partition, oldest first."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
                "WHERE i.inhparent = %s::regclass ORDER BY 1",
                [self.table],
            )
            names = [row[0] for row in cursor.fetchall()]
        found = (self._name.match(name) for name in names)
        return [datetime.strptime(m[1], "%Y%m%d").replace(tzinfo=UTC).date() for m in found if m]

    def kept_from(self, now: datetime) -> date:
        """Return the oldest UTC day that retention keeps."""
        return now.date() - timedelta(days=int(getattr(settings, self.retention)))

    def drop_old(self, *, now: datetime | None = None) -> list[date]:
        """Drop the partitions whose every row is older than the retention; return their days.

        What a long reader (a backup) holds stays until a later run.
        """
        oldest_kept = self.kept_from(now or datetime.now(UTC))
        if settings.STORE_LAYOUT == "timescaledb":
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT drop_chunks(%s::regclass, %s::timestamptz)",
                    [self.table, f"{oldest_kept} 00:00:00+00"],
                )
            return []
        dropped = []
        for start in self.existing():
            if self.end_of(start) > oldest_kept:
                break
            if not self._drop(start):
                break
            dropped.append(start)
        if dropped:
            self.forget()
        return dropped

    def _drop(self, start: date) -> bool:
        name = self.partition_name(start)
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = %s", [DROP_WAIT])
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])
                cursor.execute(f"DROP TABLE IF EXISTS {name}")
                cursor.execute("SET LOCAL lock_timeout = DEFAULT")
        except OperationalError as error:
            if not isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
                raise
            log.warning("partition %s is old, but in use; it goes at the next run", name)
            return False
        return True


READINGS = PartitionedTable(TABLE, retention="RETENTION_DAYS")
ROLLUPS_1M = PartitionedTable("facilities_rollup_1m", retention="RETENTION_1M_DAYS")
ROLLUPS_1H = PartitionedTable("facilities_rollup_1h", retention="RETENTION_1H_DAYS", monthly=True)
TABLES = (READINGS, ROLLUPS_1M, ROLLUPS_1H)


def partition_name(day: date) -> str:
    """Return the table that holds a UTC day of readings."""
    return READINGS.partition_name(day)


def ensure_partitions(days: Iterable[date]) -> list[date]:
    """Make the partitions of the readings of these UTC days that do not exist; return them."""
    return READINGS.ensure(days)


def make_ahead(*, now: datetime | None = None) -> None:
    """Make the partitions of today and the next two days, of every table."""
    today = (now or datetime.now(UTC)).date()
    for table in TABLES:
        table.ensure(today + timedelta(days=ahead) for ahead in range(3))


def forget() -> None:
    """Forget which partitions exist, of every table."""
    for table in TABLES:
        table.forget()


def existing_partitions() -> list[date]:
    """Return the UTC days of readings that have a partition, oldest first."""
    return READINGS.existing()


def drop_old_partitions(*, now: datetime | None = None) -> list[date]:
    """Drop what is older than each table's retention; return the days of readings dropped."""
    dropped = {table: table.drop_old(now=now) for table in TABLES}
    return dropped[READINGS]
