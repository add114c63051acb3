"""Cost of conversion: series to points, scaled, per reading. No database, no server.

    .venv/bin/python benchmarks/converters.py [--series 1000] [--rounds 200]

Prints medians of rounds in readings per second and nanoseconds per reading for: exact tags, every
series scaled, the same with ten readings a series, and what the first request of a source costs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ops_platform.settings")


class Sender(NamedTuple):
    """Who sends."""

    source_id: int = 1
    auto_register: bool = False


def median_s(run: Callable[[], object], rounds: int) -> float:
    """Median seconds of one call."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    import django

    django.setup()
    import numpy as np

    from facilities.converters import convert
    from facilities.converters.document import read_document
    from facilities.converters.maps import rules_of
    from facilities.converters.resolution import Resolution
    from facilities.ingest.points import columns_of
    from facilities.ingest.samples import Samples

    n = options.series
    columns = columns_of(
        1,
        [(i + 1, f"rack-{i}.inlet_c", "Cel", "inlet_c", i + 1, -10.0, 70.0, 0.1, 2.0, 10.0, False)
         for i in range(n)],
    )  # fmt: skip
    rules = rules_of(
        read_document(
            'rules: [{series: t, point: "rack-{i}.inlet_c", scale: 0.1, offset: -1, unit: "[degF]"}]'
        )
    )
    tags = [f"rack-{i}.inlet_c" for i in range(n)]
    foreign = [f't{{i="{i}"}}' for i in range(n)]

    def samples(names: list[str], each: int) -> Samples:
        size = len(names) * each
        return Samples(
            names,
            np.repeat(np.arange(len(names), dtype=np.int32), each),
            np.arange(size, dtype=np.int64),
            np.linspace(100, 900, size),
            np.arange(size, dtype=np.int32),
        )

    def fresh() -> None:
        columns.cache["resolution", 1] = Resolution(columns, rules, {})

    def cold() -> None:
        fresh()
        convert(Sender(), samples(foreign, 1), columns)

    result = {"series": n, "rounds": options.rounds, "cases": {}}
    for name, names, each in (
        ("exact tags", tags, 1),
        ("scaled", foreign, 1),
        ("scaled, 10 readings a series", foreign, 10),
    ):
        fresh()
        batch = samples(names, each)
        convert(Sender(), batch, columns)
        seconds = median_s(partial(convert, Sender(), batch, columns), options.rounds)
        result["cases"][name] = {
            "readings_per_s": round(len(batch) / seconds),
            "ns_per_reading": round(1e9 * seconds / len(batch), 1),
        }
    seconds = median_s(cold, 5)
    result["cases"]["first request (rules matched)"] = {
        "readings_per_s": round(n / seconds),
        "ns_per_reading": round(1e9 * seconds / n, 1),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
