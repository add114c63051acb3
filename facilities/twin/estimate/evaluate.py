"""Judge the twin on recordings: fit on one, judged on others that it has not seen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from .fitness import HOURLY, MONTHLY, Score
from .maintenance import Finding
from .tracker import Tracker

GOOD: Final = 1
MISSING: Final = 9


@dataclass(frozen=True)
class Recording:
    """What a plant said: ``ts`` (times,) epoch seconds, ``tags``, ``values`` (times, tags).

    ``truth`` is what the scenario did, where it is known.
    """

    name: str
    ts: np.ndarray
    tags: tuple[str, ...]
    values: np.ndarray
    truth: dict[str, Any] = field(default_factory=dict)

    def between(self, start_s: float, end_s: float) -> Recording:
        """The part from ``start_s`` to ``end_s`` seconds after the beginning."""
        since = self.ts - self.ts[0]
        kept = (since >= start_s) & (since < end_s)
        return Recording(self.name, self.ts[kept], self.tags, self.values[kept], self.truth)


def read_recording(folder: Path) -> Recording:
    """Read ``readings.npz`` and, where there is one, ``truth.json``.

    Raises ``OSError`` for a missing file, ``ValueError`` for one of another shape.
    """
    with np.load(folder / "readings.npz", allow_pickle=False) as stored:
        missing = {"ts", "tags", "values"} - set(stored.files)
        if missing:
            raise ValueError(f"{folder / 'readings.npz'} has no {', '.join(sorted(missing))}")
        ts, tags, values = stored["ts"], tuple(stored["tags"].tolist()), stored["values"]
    if values.shape != (len(ts), len(tags)):
        raise ValueError(
            f"{folder / 'readings.npz'}: values are {values.shape}, {len(ts)} times and "
            f"{len(tags)} tags need {(len(ts), len(tags))}"
        )
    path = folder / "truth.json"
    truth = json.loads(path.read_text()) if path.exists() else {}
    return Recording(folder.name, ts, tags, values, truth)


@dataclass
class Replay:
    """What following a recording showed. ``findings`` are of the first time each was seen."""

    name: str
    turns: int = 0
    step: Score = field(default_factory=Score)
    free: Score = field(default_factory=Score)
    findings: dict[tuple[str, str], tuple[float, Finding]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "recording": self.name,
            "turns": self.turns,
            "limits_pct": {"hourly": HOURLY, "monthly": MONTHLY},
            "step": {k: v.as_dict() for k, v in self.step.results().items()},
            "free": {k: v.as_dict() for k, v in self.free.results().items()},
            "findings": [
                {"after_s": after, **finding._asdict()} for after, finding in self.findings.values()
            ],
        }


def replay(
    tracker: Tracker,
    recording: Recording,
    *,
    every_s: float = 30.0,
    warm_up_s: float = 0.0,
    progress: Callable[[float], None] | None = None,
) -> Replay:
    """Follow a recording. Scores count after ``warm_up_s``; the tracker's own are emptied."""
    result = Replay(recording.name)
    last, start = -np.inf, float(recording.ts[0])
    for row, at_s in enumerate(recording.ts):
        if at_s - last < every_s - 1e-6:
            continue
        last = float(at_s)
        update = tracker.update(last, _readings(recording.tags, recording.values[row]))
        if update is None:
            continue
        result.turns += 1
        if last - start < warm_up_s:
            tracker.step_score, tracker.free_score = Score(), Score()
        for finding in update.findings or ():
            key = (finding.asset, finding.parameter)
            result.findings.setdefault(key, (last - start, finding))
        if progress is not None:
            progress((row + 1) / len(recording.ts))
    result.step, result.free = tracker.step_score, tracker.free_score
    tracker.step_score, tracker.free_score = Score(), Score()
    return result


def _readings(tags: Iterable[str], values: np.ndarray) -> dict[str, tuple[float, int]]:
    return {
        tag: (value, GOOD if value == value else MISSING)
        for tag, value in zip(tags, values.tolist(), strict=True)
    }
