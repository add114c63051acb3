"""Readings/s that are durable when the answer leaves, beside a raw COPY in the same run.

    python -m benchmarks.ingest --batches 200 --batch-size 1000 --points 1000

Runs one process against the configured database (`OPS_DATABASE_URL`, or the stack of this data
folder): every batch is JSON text that is parsed, validated, stored and committed as the REST
endpoint does it, without the HTTP layer. It works in a site of its own and removes it at the end.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SITE = "benchmark-ingest"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Ingestion benchmark, one process")
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=1000)
    parser.add_argument("--points", type=int, default=1000)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ops_platform.settings")
    import django

    django.setup()
    try:
        print(json.dumps(measure(options.batches, options.batch_size, options.points), indent=2))
    finally:
        remove()


def make(points: int) -> str:
    """Create the site, its points and a source; return the source's token."""
    from facilities.models import Asset, Point, Site
    from facilities.services.sources import source_create

    site, _ = Site.objects.get_or_create(slug=SITE, defaults={"name": "Benchmark"})
    asset, _ = Asset.objects.get_or_create(
        tag=SITE, defaults={"name": "Benchmark", "kind": "server", "site": site}
    )
    Point.objects.bulk_create(
        [
            Point(
                tag=f"{SITE}.q{i}",
                quantity=f"q{i}",
                asset=asset,
                name=f"Benchmark {i}",
                unit="Cel",
                min_value=-50,
                max_value=150,
            )
            for i in range(points)
        ],
        ignore_conflicts=True,
    )
    return source_create(name=SITE, rotate=True).token


def remove() -> None:
    """Delete what the benchmark made."""
    from facilities.models import LatestReading, Point, Reading, Site, Source

    ids = list(Point.objects.filter(asset__tag=SITE).values_list("pk", flat=True))
    Reading.objects.filter(point_id__in=ids).delete()
    LatestReading.objects.filter(point_id__in=ids).delete()
    Site.objects.filter(slug=SITE).delete()
    Source.objects.filter(name=SITE).delete()


def bodies(batches: int, size: int, points: int) -> list[bytes]:
    """JSON batches; every reading has a time of its own, the newest is now."""
    step = 0.002
    start = time.time() - batches * size * step
    made = []
    for batch in range(batches):
        rows = []
        for i in range(size):
            number = batch * size + i
            at = datetime.fromtimestamp(start + number * step, UTC).isoformat()
            rows.append(
                {"point": f"{SITE}.q{number % points}", "ts": at, "value": 20 + number % 50 / 10}
            )
        made.append(json.dumps({"readings": rows}).encode())
    return made


def measure(batches: int, size: int, points: int) -> dict[str, Any]:
    """Measure the whole path, then the parts of it that need no database, then raw COPY."""
    from django.db import connection

    from facilities.ingest.formats import native
    from facilities.ingest.points import point_table
    from facilities.ingest.service import authenticate, ingest
    from facilities.ingest.validate import validate

    token = make(points)
    texts = bodies(batches, size, points)
    sender = authenticate(f"Token {token}")
    ingest(items=native.parse(texts[0], "application/json"), sender=sender)

    times = []
    started = time.perf_counter()
    for text in texts[1:]:
        began = time.perf_counter()
        sender = authenticate(f"Token {token}")
        result = ingest(items=native.parse(text, "application/json"), sender=sender)
        assert result.accepted == size, result.rejected[:1]
        times.append(time.perf_counter() - began)
    durable_s = time.perf_counter() - started
    count = (batches - 1) * size

    table = point_table(None)
    started = time.perf_counter()
    for text in texts[1:]:
        items = native.parse(text, "application/json")
        validate(items, table.by_tag, now=time.time(), retention_s=86_400.0)
    checked_s = time.perf_counter() - started

    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        commit = cursor.fetchone()[0]
    durable, raw = count / durable_s, raw_copy(count)
    return {
        "readings": count,
        "batch_size": size,
        "points": points,
        "durable_per_s": round(durable),
        "parse_and_validate_per_s": round(count / checked_s),
        "raw_copy_per_s": round(raw),
        "share_of_raw_copy": round(durable / raw, 3),
        "batch_ms_median": round(statistics.median(times) * 1e3, 2),
        "batch_ms_p99": round(sorted(times)[int(len(times) * 0.99)] * 1e3, 2),
        "synchronous_commit": commit,
        "cpus": os.cpu_count(),
    }


def raw_copy(count: int) -> float:
    """Rows/s of one binary COPY into an empty table of the same shape, with its primary key."""
    import struct

    from django.db import connection, transaction

    row = struct.Struct("!hiqiqidihiqiq")
    start = int((time.time() - 946_684_800) * 1e6)
    body = b"".join(
        [b"PGCOPY\n\xff\r\n\x00" + bytes(8)]
        + [
            row.pack(6, 8, i % 1000, 8, start + i, 8, 20.0, 2, 1, 8, 1, 8, start)
            for i in range(count)
        ]
        + [b"\xff\xff"]
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE benchmark_reading (LIKE facilities_reading INCLUDING ALL) "
            "PARTITION BY RANGE (ts); CREATE TABLE benchmark_reading_all PARTITION OF "
            "benchmark_reading FOR VALUES FROM (MINVALUE) TO (MAXVALUE)"
        )
    try:
        began = time.perf_counter()
        command = "COPY benchmark_reading FROM STDIN (FORMAT BINARY)"
        with transaction.atomic(), connection.cursor() as cursor, cursor.copy(command) as copy:
            copy.write(body)
        return count / (time.perf_counter() - began)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE benchmark_reading")


if __name__ == "__main__":
    main()
