"""How long a chart, a wall and a rollup take, over a month of a facility of 10,000 points.

    python -m benchmarks.store [--points 10000] [--minute-points 2000] [--raw-days 30]

Starts the embedded PostgreSQL (its ordinary settings, fsync on) over a fresh data folder and fills it
as the product would: rows of one time lie together, so those of one point are scattered. Rollups by
hour of all points for 30 days, by minute of some for 2 days, readings at 1 Hz of as many
for the last 10 minutes and of one point for all days, and the marks of the minutes and the hour that
are not summed up yet. Then asks over REST, in this process: session, permission, JSON included.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

DAYS = 30
MINUTE_DAYS = 2
RAW_S = 600
WALL = 200
ROUNDS = 15

ROLLUP = """
INSERT INTO facilities_rollup_{name} (point_id, ts, low, high, mean, last, count, bad, flag)
SELECT p.id, t, v - 1, v + 1, v, v, {count}, 0, 1
FROM generate_series(%(start)s::timestamptz, %(end)s, %(step)s::interval) t,
     LATERAL (SELECT id, 22 + 3 * sin(id + extract(epoch FROM t) / 7000) AS v
              FROM facilities_point ORDER BY id LIMIT %(points)s) p
"""
READINGS = """
INSERT INTO facilities_reading (point_id, ts, value, received_at)
SELECT p.id, t, 22 + 3 * sin(p.id + extract(epoch FROM t) / 700) + random() / 5, t
FROM generate_series(%(start)s::timestamptz, %(end)s, '1 s') t,
     LATERAL (SELECT id FROM facilities_point ORDER BY id LIMIT %(points)s) p
ON CONFLICT DO NOTHING
"""


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Store benchmark")
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--minute-points", type=int, default=2_000)
    parser.add_argument("--raw-days", type=int, default=30, help="of one point at 1 Hz")
    parser.add_argument("--port", type=int, default=12_640)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="holdpoint-bench-store-"))
    folder.chmod(0o755)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "ops_platform.settings",
        "OPS_DATA_DIR": str(folder),
        "OPS_PORT": str(options.port),
        "OPS_REDIS_URL": "redis://127.0.0.1:1/0",
        "OPS_ALLOWED_HOSTS": "testserver",
        "OPS_LOG_FORMAT": "text",
    }
    from ops_platform.embedded.secrets import ensure_secrets

    ensure_secrets(folder)
    import django

    django.setup()
    from ops_platform.backups.server import running

    try:
        with running(exclusively=True):
            report = measured(options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = json.dumps(report, indent=2)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Fill the database, then time each question."""
    from django.core.management import call_command
    from django.test import Client

    from ops_platform.models import User

    call_command("check")  # loads every module now, not after the filling
    call_command("migrate", verbosity=0)
    now = datetime.now(UTC)
    rows, fill_s = filled(options, now)
    client = Client()
    client.force_login(User.objects.create_user("bench"))
    tags = [f"a.q{n}" for n in range(WALL)]

    def ask(path: str) -> dict[str, Any]:
        answer = client.get(path)
        assert answer.status_code == 200, answer.content[:500]
        return dict(answer.json())

    def ago(**delta: float) -> str:
        return (now - timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")

    one = f"/api/v1/points/a.q0/series?end={ago(seconds=0)}"
    wall = f"/api/v1/series?points={','.join(tags)}&end={ago(seconds=0)}"
    questions = {
        "month_of_one_point": f"{one}&start={ago(days=30)}&max_points=500",
        "month_of_one_point_band_2000": f"{one}&start={ago(days=30)}&max_points=2000&method=band",
        "day_of_one_point": f"{one}&start={ago(days=1)}&max_points=500",
        "hour_of_one_point_raw": f"{one}&start={ago(hours=1)}&max_points=500",
        "day_of_one_point_raw_86400": f"{one}&start={ago(days=1)}&level=raw&max_points=500",
        "wall_of_200_month": f"{wall}&start={ago(days=30)}",
        "wall_of_200_day": f"{wall}&start={ago(days=1)}",
        "wall_of_200_ten_minutes_raw": f"{wall}&start={ago(minutes=10)}",
        "snapshot_of_all": f"/api/v1/snapshots/current?mode=latest&at={ago(seconds=30)}",
    }
    report: dict[str, Any] = {
        "points": options.points,
        "cpus": os.cpu_count(),
        "rows": rows,
        "fill_s": round(fill_s, 1),
        "questions": {name: timed(partial(ask, path)) for name, path in questions.items()},
    }
    report["load_average"] = os.getloadavg()
    report["rollup_job"] = rolled(now, options.minute_points)
    return report


def filled(options: argparse.Namespace, now: datetime) -> tuple[dict[str, int], float]:
    """Make the points and their past; return rows by table and the seconds it took."""
    from django.db import connection

    from facilities import partitions
    from facilities.models import Asset, LatestReading, Point, Site

    started, points = time.monotonic(), options.points
    site = Site.objects.create(slug="s", name="S")
    asset = Asset.objects.create(site=site, tag="a", name="A", kind="rack")
    Point.objects.bulk_create(
        Point(tag=f"a.q{n}", asset=asset, name=f"Q{n}", quantity=f"q{n}", sampling_interval_s=1)
        for n in range(points)
    )
    days = {(now - timedelta(days=n)).date() for n in range(-1, DAYS + 1)}
    for table in partitions.TABLES:
        table.ensure(days)
    hour, minute = (
        now.replace(minute=0, second=0, microsecond=0),
        now.replace(second=0, microsecond=0),
    )
    with connection.cursor() as cursor:
        cursor.execute(
            ROLLUP.format(name="1h", count=3600),
            {
                "start": hour - timedelta(days=DAYS),
                "end": hour - timedelta(hours=1),
                "step": "1 hour",
                "points": points,
            },
        )
        cursor.execute(
            ROLLUP.format(name="1m", count=60),
            {
                "start": minute - timedelta(days=MINUTE_DAYS),
                "end": minute - timedelta(minutes=2),
                "step": "1 minute",
                "points": options.minute_points,
            },
        )
        for first, count in (
            (now - timedelta(days=options.raw_days), 1),
            (now - timedelta(seconds=RAW_S), options.minute_points),
        ):
            cursor.execute(READINGS, {"start": first, "end": now, "points": count})
        cursor.execute(
            "INSERT INTO facilities_rollupmark (level, start) VALUES (1, %s), (1, %s), (2, %s)",
            [minute, minute - timedelta(minutes=1), hour],
        )
        cursor.execute("VACUUM ANALYZE")
        rows = {}
        for name in ("facilities_reading", "facilities_rollup_1m", "facilities_rollup_1h"):
            cursor.execute(f"SELECT count(*) FROM {name}")
            rows[name] = cursor.fetchone()[0]
    LatestReading.objects.bulk_create(
        LatestReading(point=point, ts=now, value=22, received_at=now)
        for point in Point.objects.order_by("pk")[: options.minute_points]
    )
    return rows, time.monotonic() - started


def timed(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Milliseconds of the first answer, and median and worst of the rest."""
    spans = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        body = ask()
        spans.append((time.perf_counter() - started) * 1e3)
    first, *rest = spans
    found = {
        "first_ms": round(first, 1),
        "median_ms": round(statistics.median(rest), 1),
        "worst_ms": round(max(rest), 1),
    }
    if "level" in body:
        return found | {"level": body["level"], "values": len(body["values"])}
    if "series" in body:
        values = sum(len(series["values"]) for series in body["series"])
        return found | {"level": body["series"][0]["level"], "values": values}
    return found | {"values": len(body["values"])}


def rolled(now: datetime, points: int) -> dict[str, Any]:
    """How fast the job sums up: whole minutes of readings at 1 Hz, then one late reading."""
    from django.db import connection

    from facilities.rollups import job, mark
    from facilities.rollups.marks import _LATE

    minutes = [int(now.timestamp()) // 60 - n for n in range(3, 9)]
    with connection.cursor() as cursor:
        mark(cursor, minutes)
    whole = job.run(now=now, budget_s=60)
    spans = []
    for minute in minutes:
        with connection.cursor() as cursor:
            cursor.execute(_LATE, [minute, [1]])
        done = job.run(now=now, budget_s=60)
        spans.append(done.seconds * 1e3)
    return {
        "minutes": whole.minutes,
        "readings_per_s": round(whole.minutes * points * 60 / whole.seconds),
        "late_reading_ms": round(statistics.median(spans), 1),
    }


if __name__ == "__main__":
    main()
