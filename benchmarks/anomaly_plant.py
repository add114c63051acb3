"""False alarms of the anomaly detector on the healthy demo plant, and its lead on the plant's faults.

    python -m benchmarks.anomaly_plant [--learn-min 30] [--healthy-min 60] [--fault-s 150]

Steps the plant offline (no clock, no database), reads its instruments every two seconds as it
pushes them, and gives every numeric point to the detector. After the healthy time each fault
starts from the same state; its first anomaly is compared with the first threshold alarm of the
facility file. Prints one table.
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
READ_EVERY_S = 2


class Found(NamedTuple):
    """One anomaly: seconds since the start of the run, point, score, test."""

    at_s: float
    tag: str
    score: float
    expert: str


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Anomalies of the demo plant")
    parser.add_argument("--learn-min", type=int, default=30)
    parser.add_argument("--healthy-min", type=int, default=60)
    parser.add_argument("--fault-s", type=int, default=150)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ops_platform.settings")
    import django

    django.setup()
    from facilities.demo.plant.faults import FAULTS

    watch = Watch()
    learning = watch.run(options.learn_min * 60)
    healthy = watch.run(options.healthy_min * 60)
    hours = options.healthy_min / 60
    points = len(watch.tags)
    print(f"{points} points every {READ_EVERY_S} s, times of the plant")
    print(f"while learning, {options.learn_min} min: {len(learning)} anomalies")
    print(
        f"healthy, {options.healthy_min} min: {len(healthy)} anomalies, "
        f"{1000 * len(healthy) / points / hours:.2f} per 1,000 point hours"
    )
    for item in healthy[:5]:
        print(f"    {item.at_s:.0f} s {item.tag} {item.score:.2f} {item.expert}")
    print(f"{'fault':<24}{'anomaly':>9}{'alarm':>9}{'lead':>8}  points  first")
    for name in FAULTS:
        other = copy.deepcopy(watch)
        other.fail(name)
        start = other.elapsed_s
        found = other.run(options.fault_s)
        alarm = min((at - start for at in other.plant.raised.values() if at > start), default=None)
        first = found[0].at_s - start if found else None
        lead = "" if alarm is None or first is None else f"{alarm - first:+.0f} s"
        print(
            f"{name:<24}{_seconds(first):>9}{_seconds(alarm):>9}{lead:>8}"
            f"{len({item.tag for item in found}):>8}  {found[0].tag if found else ''}"
        )


def _seconds(value: float | None) -> str:
    return "none" if value is None else f"{value:.0f} s"


class Watch:
    """The plant with the detector on its readings."""

    def __init__(self) -> None:
        from facilities.anomaly.detector import Detector
        from facilities.demo.plant.points import read_facility
        from facilities.demo.tests.rules import Offline

        facility = read_facility()
        self.plant = Offline(facility)
        points = [facility.point(tag) for tag in self.plant.readings]
        self.tags = [point.tag for point in points if point is not None and not point.is_state]
        by_tag = {point.tag: point for point in points if point is not None}
        self.precision = np.array([by_tag[tag].precision or 0.0 for tag in self.tags])
        self.detector = Detector(len(self.tags))

    @property
    def elapsed_s(self) -> float:
        """Seconds of plant time since the start."""
        return self.plant.elapsed_s

    def fail(self, name: str) -> None:
        """Break something."""
        self.plant.fail(name)

    def run(self, seconds: int) -> list[Found]:
        """Go on; return the anomalies in the order of time."""
        from facilities.anomaly import THRESHOLD, score01
        from facilities.anomaly.detector import EXPERTS

        found: list[Found] = []
        for _ in range(seconds // READ_EVERY_S):
            self.plant.run(READ_EVERY_S)
            values = np.array([self.plant.readings[tag] for tag in self.tags])
            rows = np.nonzero(np.isfinite(values))[0]
            ts = np.full(len(rows), round(1_772_442_000e6 + self.elapsed_s * 1e6))
            scored = self.detector.step(rows, ts, values[rows], self.precision[rows])
            scores = score01(scored.surprise)
            found += [
                Found(
                    self.elapsed_s, self.tags[rows[at]], float(scores[at]),
                    EXPERTS[scored.expert[at]],
                )
                for at in np.nonzero(scores >= THRESHOLD)[0]
            ]  # fmt: skip
        return found


if __name__ == "__main__":
    main()
