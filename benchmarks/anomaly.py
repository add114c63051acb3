"""Speed of the anomaly detector: readings per second and core, by batch size and points.

    python benchmarks/anomaly.py [--seconds 2]

CPU time of one thread, synthetic readings with a daily course, noise and bursts. Everything that
the worker does per reading in Python counts except the query (see `facilities/anomaly/worker.py`).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Print one line per number of points."""
    parser = argparse.ArgumentParser(description="speed of the anomaly detector")
    parser.add_argument("--seconds", type=float, default=2.0, help="CPU time per configuration")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from facilities.anomaly.detector import Detector

    random = np.random.default_rng(1)
    print(f"{'points':>8}{'batch':>8}{'readings/s/core':>18}{'state MB':>10}")
    for points, batch in ((1_000, 100), (1_000, 1_000), (10_000, 10_000), (100_000, 10_000)):
        detector = Detector(points)
        ts = np.full(points, 1_760_000_000_000_000)
        noise = random.normal(size=(64, points))
        bursts = random.random((64, points)) < 0.01
        done = turn = 0
        for _ in range(40):  # past the start, where nothing is remembered yet
            ts += 5_000_000
            detector.step(np.arange(points), ts.copy(), 20 + noise[turn % 64])
            turn += 1
        began = time.process_time()
        while time.process_time() - began < options.seconds:
            ts += 5_000_000
            daily = np.sin(ts / 86_400e6 * 2 * np.pi)
            value = 20 + daily + noise[turn % 64] + 30 * bursts[turn % 64]
            for start in range(0, points, batch):
                rows = np.arange(start, start + batch)
                detector.step(rows, ts[rows], value[rows], 0.01)
                done += batch
            turn += 1
        rate = done / (time.process_time() - began)
        size = sum(array.nbytes for array in detector.arrays().values()) / 1e6
        print(f"{points:>8,}{batch:>8,}{rate:>18,.0f}{size:>10.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
