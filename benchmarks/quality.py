"""Cost of the streaming quality tests per reading, without a database.

    python benchmarks/quality.py [--points 1000,10000,100000] [--batch 1000,20000]

Every point has a range, a precision, an interval and a lag; values are noisy and a hundredth of them
are bad, so that every test has work. Prints JSON: µs per reading by the clock and of processor time,
medians of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ops_platform.settings")

import django

django.setup()

from facilities.ingest.points import PointColumns, columns_of  # noqa: E402
from facilities.ingest.samples import Batch  # noqa: E402
from facilities.quality.limits import limits_of  # noqa: E402
from facilities.quality.stream import StreamQuality  # noqa: E402

START_US = 1_700_000_000_000_000


def columns(count: int) -> PointColumns:
    """Points such as a rack's inlet temperature: -10…70 Cel, 0.1, every 2 s, tau 10 s."""
    rows = [
        (i + 1, f"a{i}.t_c", "Cel", "t_c", i + 1, -10.0, 70.0, 0.1, 2.0, 10.0, False)
        for i in range(count)
    ]
    return columns_of(1, rows)


def measure(points: int, batch: int, *, rounds: int = 60) -> dict[str, Any]:
    """Push ``rounds`` batches; each reading is one interval after the point's previous one."""
    table = columns(points)
    limits = limits_of(table, states=np.empty(0, np.int64), own={})
    stream = StreamQuality(limits=limits)
    rng = np.random.default_rng(1)
    per_point = max(1, batch // points)
    row = np.repeat(np.arange(min(points, batch), dtype=np.int32), per_point)
    steps = np.tile(np.arange(per_point, dtype=np.int64), len(row) // per_point)
    index = np.arange(len(row), dtype=np.int32)
    times, cpu, flagged = [], [], 0
    for number in range(rounds):
        value = np.round(24 + rng.normal(0, 0.04, len(row)), 1)
        value[rng.random(len(row)) < 0.01] += 30
        ts_us = START_US + (number * per_point + steps) * 2_000_000
        ready = Batch(row, ts_us, value, index)
        began, began_cpu = time.perf_counter(), time.thread_time()
        flags = stream.check(table, ready, int(ts_us.max()))
        times.append(time.perf_counter() - began)
        cpu.append(time.thread_time() - began_cpu)
        flagged += int((flags > 1).sum())
    took = times[rounds // 3 :]  # the first third learns
    return {
        "points": points,
        "batch": len(row),
        "us_per_reading": round(statistics.median(took) / len(row) * 1e6, 4),
        "cpu_us_per_reading": round(statistics.median(cpu[rounds // 3 :]) / len(row) * 1e6, 4),
        "worst_us_per_reading": round(max(took) / len(row) * 1e6, 4),
        "flagged_share": round(flagged / (rounds * len(row)), 5),
    }


def main() -> None:
    """Measure every combination."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--points", default="1000,10000,100000")
    parser.add_argument("--batch", default="1000,20000")
    options = parser.parse_args()
    results = [
        measure(int(points), int(batch))
        for points in options.points.split(",")
        for batch in options.batch.split(",")
    ]
    print(json.dumps({"benchmark": "quality", "results": results}, indent=2))


if __name__ == "__main__":
    main()
