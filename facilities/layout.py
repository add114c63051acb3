"""Handing the large tables to an extension: TimescaleDB hypertables or Citus distributed tables.

The SQL is given as text first, so that it can be read (and tested) where the extension is not.
Sources: docs.timescale.com `create_hypertable` (2.13 and later, `by_range`); docs.citusdata.com
`create_distributed_table`, "Distributing Partitioned Tables".
"""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db import connection, transaction

from facilities.partitions import LOCK_KEY, READINGS, ROLLUPS_1H, TABLES, PartitionedTable

EXTENSION: Final = {"timescaledb": "timescaledb", "citus": "citus"}


class NotPossible(Exception):
    """The conversion cannot be done; the text says why and what to do. Nothing was changed."""


def conversion(layout: str) -> list[str]:
    """SQL that turns the three tables over, in order. Raises ``NotPossible``."""
    if layout == "timescaledb":
        return [statement for table in TABLES for statement in _hypertable(table)]
    if layout == "citus":
        return [_distributed(table) for table in TABLES]
    raise NotPossible(
        f"OPS_STORE_LAYOUT is {layout!r}: there is nothing to convert; set timescaledb or citus"
    )


def _hypertable(table: PartitionedTable) -> list[str]:
    """A table partitioned by PostgreSQL cannot become a hypertable, so its rows move to one.

    The primary key (point_id, ts) holds the time, as a hypertable's unique keys must.
    """
    name, chunk = table.table, "1 month" if table is ROLLUPS_1H else "1 day"
    brin = [f"CREATE INDEX {name}_ts_brin ON {name} USING brin (ts) WITH (pages_per_range = 32)"]
    return [
        f"ALTER TABLE {name} RENAME TO {name}_partitioned",
        f"CREATE TABLE {name} (LIKE {name}_partitioned INCLUDING DEFAULTS)",
        f"SELECT create_hypertable('{name}', by_range('ts', INTERVAL '{chunk}'), "
        "create_default_indexes => false)",
        f"INSERT INTO {name} SELECT * FROM {name}_partitioned",  # noqa: S608
        f"DROP TABLE {name}_partitioned",
        f"ALTER TABLE {name} ADD PRIMARY KEY (point_id, ts)",
        *(brin if table is READINGS else []),
    ]


def _distributed(table: PartitionedTable) -> str:
    """Citus distributes partitioned tables as they are; rows of one point stay together."""
    colocated = "" if table is READINGS else f", colocate_with => '{READINGS.table}'"
    return f"SELECT create_distributed_table('{table.table}', 'point_id'{colocated})"


def can_convert(layout: str) -> str:
    """Why the database cannot be converted now, or an empty string."""
    extension = EXTENSION.get(layout)
    if extension is None:
        return f"OPS_STORE_LAYOUT is {layout!r}; set timescaledb or citus"
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_extension WHERE extname = %s", [extension])
        if cursor.fetchone() is None:
            cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = %s", [extension])
            if cursor.fetchone() is None:
                return (
                    f"the database server does not have the extension {extension}; install it "
                    "there, or point OPS_DATABASE_URL to a server that has it"
                )
            return f"run CREATE EXTENSION {extension} in the database first, as its administrator"
        if is_converted(layout):
            return f"the tables belong to {extension} already"
    return ""


def is_converted(layout: str) -> bool:
    """Whether the readings table belongs to the extension."""
    query = {
        "timescaledb": "SELECT EXISTS (SELECT 1 FROM timescaledb_information.hypertables "
        "WHERE hypertable_name = %s)",
        "citus": "SELECT EXISTS (SELECT 1 FROM pg_dist_partition "
        "WHERE logicalrelid = %s::regclass)",
    }[layout]
    with connection.cursor() as cursor:
        cursor.execute(query, [READINGS.table])
        return bool(cursor.fetchone()[0])


def convert() -> list[str]:
    """Turn the tables over to the extension of ``settings.STORE_LAYOUT``, in one transaction.

    Blocks readings while it copies. Raises ``NotPossible``.
    """
    layout = settings.STORE_LAYOUT
    problem = can_convert(layout)
    if problem:
        raise NotPossible(problem)
    statements = conversion(layout)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])
        for statement in statements:
            cursor.execute(statement)
    return statements
