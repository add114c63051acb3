"""Time of "what moved with this point" over 10,000 points and one hour, fetch included.

    python -m benchmarks.correlation [--points 10000] [--interval 10] [--runs 5]

Runs against the configured database (`OPS_DATABASE_URL`, or the stack of this data folder) in a
site of its own, which it removes. One hour of readings: noise with memory for every point, a
cooling fault for the thirty points of one row, later and smaller the further away. Prints the
median of the runs with a cold cache, its parts, a run from the cache, and what was found.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SITE = "benchmark-correlation"
PER_ASSET = 10
AFFECTED = 30


def main() -> None:
    """Run and print one JSON object."""
    parser = argparse.ArgumentParser(description="Correlation benchmark")
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--interval", type=int, default=10, help="seconds between readings")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ops_platform.settings")
    import django

    django.setup()
    try:
        end = make(options.points, options.interval)
        print(json.dumps(measure(end, options.runs), indent=2))
    finally:
        remove()


def make(points: int, interval_s: int) -> datetime:
    """Create site, assets in a chain of cooling links, points and an hour of readings."""
    from django.db import connection

    from facilities import partitions
    from facilities.models import Asset, AssetLink, Point, Site

    remove()
    site = Site.objects.create(slug=SITE, name="Benchmark")
    assets = Asset.objects.bulk_create(
        [
            Asset(tag=f"{SITE}-{i}", name=f"Asset {i}", kind="rack", site=site)
            for i in range(points // PER_ASSET)
        ]
    )
    AssetLink.objects.bulk_create(
        [AssetLink(source=a, target=b, kind="cooling") for a, b in pairwise(assets)]
    )
    made = Point.objects.bulk_create(
        [
            Point(
                tag=f"{asset.tag}.q{n}",
                quantity=f"q{n}",
                asset=asset,
                name=f"Point {n}",
                unit="Cel",
            )
            for asset in assets
            for n in range(PER_ASSET)
        ]
    )
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    start = end - timedelta(hours=1)
    days = {start.date(), end.date()}
    partitions.ensure_partitions(days)
    partitions.ROLLUPS_1M.ensure(days)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO facilities_reading (point_id, ts, value, quality, received_at) "
            "SELECT p, t, 20 + 0.5 * sin(extract(epoch FROM t)::float8 / (100 + p %% 97) + p) "
            "  + random() + CASE WHEN p - %(first)s < %(affected)s THEN "
            "    (8.0 - (p - %(first)s) * 0.15) * least(greatest(extract(epoch FROM "
            "     t - %(fault)s)::float8 - (p - %(first)s) * 5, 0) / 300, 1) ELSE 0 END, 1, t "
            "FROM generate_series(%(start)s, %(end)s - interval '1 s', %(step)s) t, "
            "  unnest(%(ids)s::bigint[]) p",
            {
                "first": made[0].pk,
                "affected": AFFECTED,
                "fault": start + timedelta(minutes=40),
                "start": start,
                "end": end,
                "step": timedelta(seconds=interval_s),  # type: ignore[dict-item]
                "ids": [point.pk for point in made],
            },
        )
        cursor.execute(
            "INSERT INTO facilities_rollup_1m (point_id, ts, low, high, mean, last, count, bad, flag) "
            "SELECT point_id, date_trunc('minute', ts), min(value), max(value), avg(value), "
            "max(value), count(*), 0, 1 FROM facilities_reading WHERE ts >= %s AND ts < %s "
            "AND point_id = ANY(%s) GROUP BY 2, 1 ORDER BY 2, 1",
            [start, end, [point.pk for point in made]],
        )
        cursor.execute("ANALYZE facilities_reading, facilities_rollup_1m")
    return end


def remove() -> None:
    """Delete what the benchmark made."""
    from django.db import connection

    from facilities.models import LatestReading, Point, Site

    ids = list(Point.objects.filter(asset__site__slug=SITE).values_list("pk", flat=True))
    with connection.cursor() as cursor:
        for table in ("facilities_reading", "facilities_rollup_1m", "facilities_rollup_1h"):
            cursor.execute(f"DELETE FROM {table} WHERE point_id = ANY(%s)", [ids])
    LatestReading.objects.filter(point_id__in=ids).delete()
    Site.objects.filter(slug=SITE).delete()


def measure(end: datetime, runs: int) -> dict[str, Any]:
    """Ask what moved with the first point, with a cold cache each time, then from the cache."""
    from facilities.correlation import correlate, fetch

    def ask() -> tuple[float, Any]:
        began = time.perf_counter()
        found = correlate(tag=f"{SITE}-0.q0", start=end - timedelta(hours=1), end=end)
        return time.perf_counter() - began, found

    ask()
    cold = []
    for _ in range(runs):
        fetch.forget()
        cold.append(ask())
    took = statistics.median(seconds for seconds, _ in cold)
    _, found = min(cold, key=lambda item: abs(item[0] - took))
    cached, _ = ask()
    return {
        "points": found.points,
        "median_s": round(took, 3),
        "slowest_s": round(max(seconds for seconds, _ in cold), 3),
        "parts_of_the_median_run_ms": found.ms,
        "from_cache_s": round(cached, 3),
        "significant": found.significant,
        "planted": AFFECTED - 1,
        "first": [(m.tag, m.r, m.lag_s, m.distance) for m in found.matches[:5]],
    }


if __name__ == "__main__":
    main()
