"""From a push of 10,000 points to alarms that are raised, through the product's own processes.

    python -m benchmarks.alarms                    # 1 % and all of 10,000 points cross their level
    python -m benchmarks.alarms --points 10000 --rounds 5 --output alarms.json

Starts PostgreSQL, Redis, web, worker and beat over a fresh data folder, with a rule on every point.
Each round pushes one reading of every point (batches of 1,000 in JSON), some of them past the level;
the clock starts when the last push is acknowledged, that is: committed (it holds the points that
cross, when they are few). A poll every 10 ms sees how many alarms are in the database and stops when
all are. Then everything goes back to normal, and the alarms must clear. The screen's cost is
measured in this process on the same data list. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.ingest import make_data_list  # noqa: E402
from benchmarks.ingesting.bodies import tag  # noqa: E402
from benchmarks.ingesting.product import Product  # noqa: E402

GIVE_UP_S = 60.0


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Alarm benchmark")
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--shares", default="0.01,1", help="shares of points that cross")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--port", type=int, default=12_660)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/holdpoint-bench-alarms"))
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    product = Product(options.folder, port=options.port, workers=1)
    try:
        product.start()
        token = make_data_list(options.points)
        product.serve()
        report: dict[str, Any] = {"cpus": os.cpu_count(), "points": options.points}
        report["screen_ns_per_reading"] = screen_cost(options.points)
        push(product, token, options.points, 0)
        for share in map(float, options.shares.split(",")):
            count = max(round(options.points * share), 1)
            done = [one_round(product, token, options.points, count) for _ in range(options.rounds)]
            report[f"{count} alarms"] = {
                name: round(statistics.median(round_[name] for round_ in done), 3)
                for name in done[0]
            }
    except BaseException:
        print(product.last_words(), file=sys.stderr)
        raise
    finally:
        product.stop()
    text = json.dumps(report, indent=2)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")


def push(product: Product, token: str, points: int, high: int) -> float:
    """Push one reading of each point, the last ``high`` past the level; return the last commit."""
    stamp = datetime.now(UTC).isoformat()
    for first in range(0, points, 1000):
        readings = [
            {"point": tag(n), "ts": stamp, "value": 45.0 if n >= points - high else 25.0}
            for n in range(first, min(first + 1000, points))
        ]
        request = urllib.request.Request(
            f"{product.url}/api/v1/readings",
            json.dumps({"readings": readings}).encode(),
            {"Authorization": f"Token {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            told = json.load(answer)
            if told["rejected"]:
                raise SystemExit(f"rejected: {told['rejected'][0]}")
    return time.monotonic()


def one_round(product: Product, token: str, points: int, high: int) -> dict[str, float]:
    """Raise and clear ``high`` alarms; seconds after the last commit."""
    raised = watch(high, push(product, token, points, high))
    cleared = watch(0, push(product, token, points, 0))
    return {
        "raised_s_p50": raised[len(raised) // 2],
        "raised_s_p99": raised[int(len(raised) * 0.99)],
        "raised_s_last": raised[-1],
        "cleared_s_last": cleared[-1],
    }


def watch(wanted: int, since: float) -> list[float]:
    """Seconds after ``since`` at which each alarm was seen to be raised (or cleared)."""
    from facilities.models import Alarm

    seen: list[float] = []
    before = open_now = Alarm.objects.filter(cleared_at=None).count()
    first = abs(wanted - before)
    if wanted:  # some may have been raised before the last push was acknowledged: those count as 0
        seen = [0.0] * before
    while True:
        elapsed = time.monotonic() - since
        moved = abs(open_now - before)
        seen += [max(elapsed, 0.0)] * moved
        if open_now == wanted:
            return seen or [0.0] * max(first, 1)
        if elapsed > GIVE_UP_S:
            raise SystemExit(f"{open_now} alarms are open after {elapsed:.0f} s, not {wanted}")
        time.sleep(0.01)
        before, open_now = open_now, Alarm.objects.filter(cleared_at=None).count()


def screen_cost(points: int) -> dict[str, float]:
    """Nanoseconds per reading in batches of 1,000 and 10,000, nothing crossing and 1 % crossing."""
    import numpy as np

    from facilities.alarms.screen import Screen
    from facilities.ingest.points import point_table

    columns, rng, found = point_table(None), np.random.default_rng(4), {}
    for size in (1_000, 10_000):
        for share in (0.0, 0.01):
            screen = Screen()
            row = rng.integers(0, points, size).astype(np.int32)
            value = np.full(size, 25.0)
            value[: round(size * share)] = 45.0
            flags = np.ones(size, np.uint8)
            screen.candidates(columns, row, value, flags)
            times = []
            for _ in range(300):
                start = time.perf_counter_ns()
                screen.candidates(columns, row, value, flags)
                times.append((time.perf_counter_ns() - start) / size)
            found[f"batch {size}, {share:.0%} crossing"] = round(statistics.median(times), 1)
    return found


if __name__ == "__main__":
    main()
