"""What this installation was measured to do; every number says how, and falls back in the open."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from django.db import connection
from django.db.models import Max, Sum

from facilities.models import CapacityMeasure, SourceFlow


class Rate(NamedTuple):
    """One rate with where it comes from. ``measured`` is False for an assumption."""

    value: float
    unit: str
    how: str
    measured: bool
    at: datetime | None = None


ASSUMED: Final = {
    "wire_bytes": Rate(
        90.0, "B/reading", "assumed: a native JSON item; nothing has been pushed yet", False
    ),
    "disk_bytes": Rate(
        110.0, "B/reading", "assumed: a row and its index entry; the table is too small", False
    ),
    "rollup_bytes": Rate(140.0, "B/row", "assumed: a rollup row and its index entry", False),
    "ingest_us": Rate(8.0, "µs/reading", "assumed; run plan_capacity --measure", False),
    "judge_us": Rate(60.0, "µs/point", "assumed; run plan_capacity --measure", False),
    "copy_per_s": Rate(200_000.0, "rows/s", "assumed; run plan_capacity --measure", False),
    "commit_ms": Rate(5.0, "ms", "assumed; run plan_capacity --measure", False),
}
"""What is reckoned with until it was measured here."""

MIN_ROWS: Final = 100_000
"""Rows below which a table's size says little about the size of a row; assumed."""

_SIZE = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0), coalesce(sum(greatest(c.reltuples, 0)), 0)
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass(%s)
"""


@dataclass(frozen=True, slots=True)
class Flowing:
    """What flows now, over the last complete minutes."""

    readings_per_s: float
    bytes_per_s: float
    requests_per_s: float
    stored_per_s: float
    rejected_per_s: float
    transform_us: float | None
    transfer_ms: float | None
    delay_s: float | None
    until: datetime | None


def flowing(*, now: datetime, minutes: int = 10) -> Flowing:
    """Sums of ``SourceFlow`` over the last ``minutes`` whole minutes that have anything."""
    end = now.replace(second=0, microsecond=0)
    found = SourceFlow.objects.filter(minute__gte=end - timedelta(minutes=minutes), minute__lt=end)
    names = ("received", "bytes", "requests", "stored", "rejected", "decoded")
    delays = ("transform_s", "transfer_s", "performance_s")
    sums = found.aggregate(latest=Max("minute"), **{name: Sum(name) for name in (*names, *delays)})
    seconds = max(found.values("minute").distinct().count(), 1) * 60.0
    total = {name: float(sums[name] or 0) for name in (*names, *delays)}
    return Flowing(
        readings_per_s=total["received"] / seconds,
        bytes_per_s=total["bytes"] / seconds,
        requests_per_s=total["requests"] / seconds,
        stored_per_s=total["stored"] / seconds,
        rejected_per_s=total["rejected"] / seconds,
        transform_us=total["transform_s"] / total["decoded"] * 1e6 if total["decoded"] else None,
        transfer_ms=total["transfer_s"] / total["requests"] * 1e3 if total["requests"] else None,
        delay_s=total["performance_s"] / total["stored"] if total["stored"] else None,
        until=sums["latest"],
    )


def read_rates(*, now: datetime | None = None) -> dict[str, Rate]:
    """All rates the planner needs: measured where there is something to measure."""
    now = now or datetime.now(UTC)
    rates = dict(ASSUMED)
    for measure in CapacityMeasure.objects.filter(name__in=rates):
        rates[measure.name] = Rate(
            measure.value, measure.unit, measure.how, True, measure.measured_at
        )
    flow = SourceFlow.objects.filter(minute__gte=now - timedelta(days=1)).aggregate(
        bytes=Sum("bytes"), received=Sum("received")
    )
    if flow["received"]:
        rates["wire_bytes"] = Rate(
            flow["bytes"] / flow["received"],
            "B/reading",
            f"bodies of {flow['received']:,} readings of the last day, as they arrived",
            True,
            now,
        )
    for name, table in (
        ("disk_bytes", "facilities_reading"),
        ("rollup_bytes", "facilities_rollup1m"),
    ):
        octets, rows = table_size(table)
        if rows >= MIN_ROWS:
            rates[name] = Rate(
                octets / rows,
                rates[name].unit,
                f"size of {table} over its {rows:,.0f} rows",
                True,
                now,
            )
    return rates


def table_size(table: str) -> tuple[float, float]:
    """Bytes with indexes, and estimated rows, of a partitioned table."""
    with connection.cursor() as cursor:
        cursor.execute(_SIZE, [table])
        octets, rows = cursor.fetchone()
    return float(octets), float(rows)
