"""Score the anomaly detector by the rules of the Numenta Anomaly Benchmark (NAB).

    python benchmarks/nab.py [--data ../shared/data/nab] [--match TEXT] [--per-file] [--write-scores DIR]

Rules (Lavin and Ahmad 2015; numenta/NAB `nab/sweeper.py`, `nab/runner.py`): each anomaly window
counts once, by its earliest detection, on a sigmoid that runs from 1 at its left edge to 0 at its
right edge; every detection outside costs, less when it follows a window closely; the first
min(15 %, 750) rows of a series are not scored; one threshold for the whole corpus, the best one;
0 is what a detector earns that never speaks, 100 one that is right at the first row of every
window.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

ROOT: Final = Path(__file__).resolve().parent.parent
DATA: Final = ROOT.parent / "shared" / "data" / "nab"
PROBATION_FRACTION: Final = 0.15
PROBATION_ROWS: Final = 750  # 15 % of 5,000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Labelled:
    """One series: times in µs, values, and its windows as first and last row (inclusive)."""

    name: str
    ts_us: npt.NDArray[np.int64]
    value: Floats
    windows: tuple[tuple[int, int], ...]

    @property
    def probation(self) -> int:
        """Rows at the start that are not scored."""
        return min(math.floor(PROBATION_FRACTION * len(self.value)), PROBATION_ROWS)


class Weights(NamedTuple):
    """A scoring profile."""

    tp: float
    fp: float
    fn: float


class Result(NamedTuple):
    """Outcome of one profile: normalised score, its threshold, windows hit, detections outside."""

    score: float
    threshold: float
    raw: float
    windows: int
    hit: int
    false_alarms: int
    per_file: dict[str, float]


def load(data: Path = DATA) -> list[Labelled]:
    """Read every labelled series below ``data``, by name."""
    limits = json.loads((data / "labels" / "combined_windows.json").read_text())
    return [_load(data / "data" / name, name, limits[name]) for name in sorted(limits)]


def _load(path: Path, name: str, limits: Sequence[Sequence[str]]) -> Labelled:
    with path.open(newline="") as lines:
        rows = list(csv.reader(lines))[1:]
    times = [_us(row[0]) for row in rows]
    windows = tuple(sorted((times.index(_us(a)), times.index(_us(b))) for a, b in limits))
    return Labelled(name, np.array(times), np.array([float(row[1]) for row in rows]), windows)


def _us(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def profiles(data: Path = DATA) -> dict[str, Weights]:
    """Read the benchmark's scoring profiles."""
    loaded = json.loads((data / "config" / "profiles.json").read_text())
    return {
        name: Weights(cost["tpWeight"], cost["fpWeight"], cost["fnWeight"])
        for name, cost in ((name, p["CostMatrix"]) for name, p in loaded.items())
    }


def scaled_sigmoid(position: float) -> float:
    """Worth of a detection at a position relative to its window (-1 left edge, 0 right edge)."""
    return -1.0 if position > 3.0 else 2.0 / (1.0 + math.exp(5.0 * position)) - 1.0


def row_worth(series: Labelled) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Unweighted worth of a detection at each row, and the row's window (-1: outside)."""
    count = len(series.value)
    worth = np.full(count, -1.0)
    window = np.full(count, -1)
    for number, (first, last) in enumerate(series.windows):
        width = last - first + 1
        until = series.windows[number + 1][0] if number + 1 < len(series.windows) else count
        for row in range(first, last + 1):
            worth[row] = scaled_sigmoid(-(last - row + 1) / width) / scaled_sigmoid(-1.0)
            window[row] = number
        for row in range(last + 1, until):
            worth[row] = scaled_sigmoid((row - last) / max(width - 1, 1))
    return worth, window


def sweep(corpus: Sequence[Labelled], scores: Mapping[str, Floats], weights: Weights) -> Result:
    """Find the threshold that is best for the whole corpus and score every series at it."""
    rows: list[tuple[float, int, int, float]] = []
    windows: list[tuple[int, int]] = []
    for number, series in enumerate(corpus):
        worth, window = row_worth(series)
        first = len(windows)
        windows += [(number, w) for w in range(len(series.windows))]
        for row in range(series.probation, len(series.value)):
            inside = window[row] >= 0
            rows.append(
                (
                    float(scores[series.name][row]),
                    number,
                    first + int(window[row]) if inside else -1,
                    worth[row] * (weights.tp if inside else weights.fp),
                )
            )
    rows.sort(key=lambda item: -item[0])
    best_of = dict.fromkeys(range(len(windows)), -weights.fn)
    total = best = -weights.fn * len(windows)
    threshold = math.inf
    for at, (score, _, window_id, gain) in enumerate(rows):
        if window_id < 0:
            total += gain
        elif gain > best_of[window_id]:
            total += gain - best_of[window_id]
            best_of[window_id] = gain
        if (at + 1 == len(rows) or rows[at + 1][0] != score) and total > best:
            best, threshold = total, score
    return score_at(corpus, scores, weights, threshold)


def score_at(
    corpus: Sequence[Labelled], scores: Mapping[str, Floats], weights: Weights, threshold: float
) -> Result:
    """Score every series at one threshold: a row is a detection when its score reaches it."""
    per_file: dict[str, float] = {}
    hit = false_alarms = windows = 0
    for series in corpus:
        worth, window = row_worth(series)
        found = scores[series.name] >= threshold
        found[: series.probation] = False
        total = float(worth[found & (window < 0)].sum()) * weights.fp
        false_alarms += int((found & (window < 0)).sum())
        for number in range(len(series.windows)):
            windows += 1
            inside = found & (window == number)
            hit += bool(inside.any())
            total += float(worth[inside].max()) * weights.tp if inside.any() else -weights.fn
        per_file[series.name] = total
    raw = sum(per_file.values())
    null = -weights.fn * windows
    score = 100.0 * (raw - null) / (weights.tp * windows - null) if windows else 0.0
    return Result(score, threshold, raw, windows, hit, false_alarms, per_file)


def detect(corpus: Sequence[Labelled]) -> dict[str, Floats]:
    """Run the product's detector over every series, one reading of each at a time."""
    from facilities.anomaly import score01
    from facilities.anomaly.detector import Detector

    detector = Detector(len(corpus))
    scores = {series.name: np.zeros(len(series.value)) for series in corpus}
    for at in range(max(len(series.value) for series in corpus)):
        live = [row for row, series in enumerate(corpus) if at < len(series.value)]
        found = detector.step(
            np.array(live),
            np.array([corpus[row].ts_us[at] for row in live]),
            np.array([corpus[row].value[at] for row in live]),
        )
        for row, score in zip(live, score01(found.surprise), strict=True):
            scores[corpus[row].name][at] = score
    return scores


def windowed_gaussian(series: Labelled, window: int = 6_400, *, two_sided: bool = False) -> Floats:
    """NAB's baseline: normal tail over the last ``window`` values.

    With the defaults it gives the counts of NAB's stored results; two-sided over 1,000 values is
    its later, better form.
    """
    scores = np.zeros(len(series.value))
    mean, deviation = 0.0, 1.0
    for at, value in enumerate(series.value):
        if at:
            away = (value - mean) / deviation
            scores[at] = 1.0 - 0.5 * math.erfc((abs(away) if two_sided else away) / 1.4142)
        seen = series.value[max(0, at - window + 1) : at + 1]
        mean, deviation = float(seen.mean()), float(seen.std()) or 1e-6
    return scores


def perfect(series: Labelled) -> Floats:
    """Speaks at the first row of every window and never else."""
    scores = np.zeros(len(series.value))
    scores[[first for first, _ in series.windows]] = 1.0
    return scores


def halves(corpus: Sequence[Labelled]) -> dict[str, list[Labelled]]:
    """Every other series by name: the detector was designed on one half, the other kept away."""
    return {"design half": list(corpus[::2]), "held-out half": list(corpus[1::2])}


def main(arguments: Iterable[str] | None = None) -> int:
    """Print the score of the detector and of what it is compared with."""
    parser = argparse.ArgumentParser(description="NAB score of the anomaly detector")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with data/ and labels/")
    parser.add_argument("--match", default="", help="only series whose name holds this text")
    parser.add_argument("--per-file", action="store_true", help="print every series")
    parser.add_argument("--write-scores", type=Path, help="folder for <series>.csv with scores")
    options = parser.parse_args(None if arguments is None else list(arguments))
    sys.path.insert(0, str(ROOT))
    corpus = [series for series in load(options.data) if options.match in series.name]
    if not corpus:
        raise SystemExit(f"no series below {options.data} has {options.match!r} in its name")
    weights = profiles(options.data)
    began = time.process_time()
    scores = detect(corpus)
    took = time.process_time() - began
    rows = sum(len(series.value) for series in corpus)
    print(f"{len(corpus)} series, {rows:,} rows, {sum(len(s.windows) for s in corpus)} windows")
    print(f"{'':<34}{'standard':>9}{'low FP':>9}{'low FN':>9}  hit  outside  threshold")
    detectors: list[tuple[str, Mapping[str, Floats]]] = [
        ("null detector", {s.name: np.zeros(len(s.value)) for s in corpus}),
        ("perfect detector", {s.name: perfect(s) for s in corpus}),
        ("Windowed Gaussian, stored results", {s.name: windowed_gaussian(s) for s in corpus}),
        (
            "Windowed Gaussian, two-sided",
            {s.name: windowed_gaussian(s, 1_000, two_sided=True) for s in corpus},
        ),
        ("Holdpoint", scores),
    ]
    for name, found in detectors:
        _print_line(name, corpus, found, weights)
    for name, half in halves(corpus).items():
        _print_line(f"  Holdpoint, {name}", half, scores, weights)
    print(
        f"{rows / took:,.0f} rows/s in batches of {len(corpus)} (benchmarks/anomaly.py: of 1,000)"
    )
    if options.per_file:
        for name, value in sweep(corpus, scores, weights["standard"]).per_file.items():
            print(f"  {name:<62}{value:7.2f}")
    if options.write_scores:
        _write(options.write_scores, corpus, scores)
    return 0


def _print_line(
    name: str, corpus: Sequence[Labelled], scores: Mapping[str, Floats], weights: dict[str, Weights]
) -> None:
    results = [sweep(corpus, scores, profile) for profile in weights.values()]
    first = results[0]
    cells = "".join(f"{result.score:9.1f}" for result in results)
    print(
        f"{name:<34}{cells}  {first.hit}/{first.windows}  {first.false_alarms:>5}"
        f"  {first.threshold:9.3f}"
    )


def _write(folder: Path, corpus: Sequence[Labelled], scores: Mapping[str, Floats]) -> None:
    for series in corpus:
        path = folder / series.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(("timestamp", "value", "anomaly_score"))
            for ts, value, score in zip(
                series.ts_us, series.value, scores[series.name], strict=True
            ):
                writer.writerow((datetime.fromtimestamp(ts / 1e6, UTC), value, f"{score:.6f}"))


if __name__ == "__main__":
    sys.exit(main())
