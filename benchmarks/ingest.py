"""Readings/s that are durable when the answer leaves, over HTTP, beside a raw COPY in the same run.

    python -m benchmarks.ingest                          # line protocol and JSON, batches of 1,000
    python -m benchmarks.ingest --wire line --points 1000,10000,100000
    python -m benchmarks.ingest --workers 2 --singles --latency
    python -m benchmarks.ingest --rounds 1 --overload 120   # refused, stored, memory over time

Starts the product's own processes over a fresh data folder (PostgreSQL with fsync, Redis, web,
worker, beat), with ranges, quality tests and an alarm rule on every point, and posts with clients in
a process of their own: everything shares this machine. Rounds of each wire format take turns with a
raw binary COPY of as many rows. Every round counts the rows in the database against the
acknowledged readings. Prints one JSON object: medians, and the lowest and highest round.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.ingesting.bodies import QUANTITIES, asset, tag  # noqa: E402
from benchmarks.ingesting.product import Product  # noqa: E402

SOURCE = "benchmark"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Ingestion benchmark over HTTP")
    parser.add_argument("--wire", default="line,json", help="line, line10, json; comma separated")
    parser.add_argument("--points", default="1000", help="one or several, comma separated")
    parser.add_argument("--batch-size", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--readings", type=int, default=600_000, help="per round")
    parser.add_argument("--workers", type=int, default=1, help="web processes")
    parser.add_argument("--port", type=int, default=12_610)
    parser.add_argument(
        "--singles", action="store_true", help="one reading per request, 200 clients"
    )
    parser.add_argument("--latency", action="store_true", help="POST to WebSocket at half load")
    parser.add_argument("--overload", type=float, default=0, help="seconds of too much")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/holdpoint-bench-ingest"))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the product's processes end too
    sizes = [int(points) for points in options.points.split(",")]
    report = {
        "cpus": os.cpu_count(),
        "workers": options.workers,
        "batch_size": options.batch_size,
        "runs": [measure(sizes[0], options)] if len(sizes) == 1 else apart(sizes),
    }
    print(json.dumps(report, indent=2))


def apart(sizes: list[int]) -> list[dict[str, Any]]:
    """Each data list in a process of its own: Django reads its settings once."""
    runs = []
    given = [a for a in sys.argv[1:] if not a.startswith("--points=")]
    if "--points" in given:
        at = given.index("--points")
        del given[at : at + 2]
    for points in sizes:
        command = [sys.executable, "-m", "benchmarks.ingest", *given, "--points", str(points)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
        runs += json.loads(done.stdout)["runs"]
    return runs


def measure(points: int, options: argparse.Namespace) -> dict[str, Any]:
    """All rounds over one data list of this size."""
    product = Product(options.folder, port=options.port, workers=options.workers)
    try:
        product.start()
        token = make_data_list(points)
        product.serve()
        return _measured(product, token, points, options)
    except BaseException:
        print(product.last_words(), file=sys.stderr)
        raise
    finally:
        product.stop()


def _measured(
    product: Product, token: str, points: int, options: argparse.Namespace
) -> dict[str, Any]:
    wires = options.wire.split(",")
    load = {
        "points": points,
        "token": token,
        "port": product.port,
        "size": options.batch_size,
        "count": max(options.readings // options.batch_size, 1),
        "connections": options.connections,
        "seconds": 60,
    }
    for wire in wires:  # caches, series, partitions
        post({**load, "wire": wire, "count": max(points // options.batch_size, 20)})
    rounds: dict[str, list[dict[str, Any]]] = {wire: [] for wire in wires}
    raw: list[float] = []
    raw_cpu: list[float] = []
    for number in range(options.rounds):
        for wire in wires if number % 2 == 0 else wires[::-1]:
            rounds[wire].append(one_round(product, {**load, "wire": wire}))
            cpu = product.cpu_s()["postgres"]
            raw.append(raw_copy(options.readings))
            raw_cpu.append((product.cpu_s()["postgres"] - cpu) * 1e6 / options.readings)
    report: dict[str, Any] = {"points": points, "raw_copy_per_s": spread(raw)}
    report["raw_copy_postgres_cpu_us_per_row"] = round(statistics.median(raw_cpu), 2)
    for wire in wires:
        rates = [r["per_s"] for r in rounds[wire]]
        report[wire] = {
            "durable_per_s": spread(rates),
            "share_of_raw_copy": round(statistics.median(rates) / statistics.median(raw), 3),
            "request_ms_p50": round(statistics.median(r["p50"] for r in rounds[wire]), 1),
            "request_ms_p99": round(statistics.median(r["p99"] for r in rounds[wire]), 1),
            "cpu_us_per_reading": {
                name: round(statistics.median(r["cpu"][name] for r in rounds[wire]), 2)
                for name in rounds[wire][0]["cpu"]
            },
            "missing_readings": sum(r["missing"] for r in rounds[wire]),
        }
    if options.singles:
        singles = {**load, "size": 1, "connections": 200, "count": 40_000, "seconds": 15}
        done = [one_round(product, {**singles, "wire": wires[0]}) for _ in range(3)]
        report["singles_200_clients"] = {
            "requests_per_s": spread([r["per_s"] for r in done]),
            "request_ms_p50": round(statistics.median(r["p50"] for r in done), 1),
            "request_ms_p99": round(statistics.median(r["p99"] for r in done), 1),
            "missing_readings": sum(r["missing"] for r in done),
        }
    if options.latency:
        from benchmarks.ingesting.live import post_to_push

        full = report[wires[0]]["durable_per_s"]["median"]
        report["post_to_websocket"] = post_to_push(
            product,
            {**load, "wire": wires[0], "rate": full / 2 / options.batch_size, "seconds": 15},
        )
    if options.overload:
        from benchmarks.ingesting.overload import overload

        report["overload"] = overload(
            product,
            {**load, "wire": wires[0]},
            seconds=options.overload,
            post=post,
            count_rows=count_rows,
        )
    report["web_memory_mib"] = round(product.memory_mib())
    return report


def make_data_list(points: int) -> str:
    """Points with ranges, intervals and precision, a rule per quantity, a source; its token."""
    import django

    django.setup()
    from facilities.models import AlarmRule, Asset, Point, Site
    from facilities.services.sources import source_create

    site = Site.objects.create(slug="benchmark", name="Benchmark")
    assets = Asset.objects.bulk_create(
        [
            Asset(tag=asset(n), name=f"Server {n}", kind="server", site=site)
            for n in range((points + 9) // 10)
        ],
        batch_size=2_000,
    )
    Point.objects.bulk_create(
        [
            Point(
                tag=tag(n),
                quantity=QUANTITIES[n % 10],
                asset=assets[n // 10],
                name=tag(n),
                unit="Cel",
                min_value=-50,
                max_value=150,
                precision=0.01,
                sampling_interval_s=1,
            )
            for n in range(points)
        ],
        batch_size=2_000,
    )
    for quantity in QUANTITIES:
        rule = AlarmRule(
            name=f"{quantity} high",
            asset_kind="server",
            quantity=quantity,
            comparator="above",
            raise_level=40,
            clear_level=38,
            severity="high",
        )
        rule.full_clean()
        rule.save()
    return source_create(name=SOURCE).token


def post(load: dict[str, Any]) -> dict[str, Any]:
    """Run one load in a client process."""
    client = start_client(load)
    client.stdin.write("go\n")
    client.stdin.flush()
    return finish_client(client)


def start_client(load: dict[str, Any]) -> Any:
    """Start the client process; it is ready to go when this returns."""
    client = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.ingesting.client"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write(json.dumps(load) + "\n")
    client.stdin.flush()
    if client.stdout.readline().strip() != "ready":
        raise SystemExit("the client process did not start")
    return client


def finish_client(client: Any) -> dict[str, Any]:
    """Wait for the client's result."""
    out, _ = client.communicate(timeout=180)
    return dict(json.loads(out.strip().splitlines()[-1]))


def one_round(product: Product, load: dict[str, Any]) -> dict[str, Any]:
    """One load with the rows counted before and after, and who used the processors."""
    client = start_client(load)
    before, cpu = count_rows(), product.cpu_s()
    client.stdin.write("go\n")
    client.stdin.flush()
    done = finish_client(client)
    used = product.cpu_s()
    acknowledged = done["acknowledged"]
    if set(done["statuses"]) - {"200", "204"}:
        raise SystemExit(f"answers other than success: {done['statuses']}")
    return {
        "per_s": acknowledged / done["seconds"],
        "p50": done["p50"],
        "p99": done["p99"],
        "missing": acknowledged - (count_rows() - before),
        "cpu": {name: (used[name] - cpu.get(name, 0.0)) * 1e6 / acknowledged for name in used},
    }


def count_rows() -> int:
    """Readings in the database."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM facilities_reading")
        return int(cursor.fetchone()[0])


def raw_copy(count: int) -> float:
    """Rows/s of one binary COPY into an empty table with the same columns, keys and indexes."""
    import numpy as np
    from django.db import connection, transaction

    from facilities.ingest.store import BLANK, HEADER, PG_EPOCH_US, TRAILER

    rows = np.empty(count, BLANK.dtype)
    rows[:] = BLANK
    number = np.arange(count)
    now = time.time_ns() // 1_000 - PG_EPOCH_US
    rows["point"], rows["ts"], rows["received"] = number % 1_000, now + number, now
    rows["value"], rows["quality"], rows["source"] = 20.0, 1, 1
    body = HEADER + rows[np.lexsort((rows["ts"], rows["point"]))].tobytes() + TRAILER
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


def spread(rates: list[float]) -> dict[str, int]:
    """Median, lowest and highest of the rounds."""
    return {
        "median": round(statistics.median(rates)),
        "lowest": round(min(rates)),
        "highest": round(max(rates)),
    }


if __name__ == "__main__":
    main()
