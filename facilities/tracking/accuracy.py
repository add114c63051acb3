"""How well the twin predicts: sums of the hour that runs, rows of the hours that are over."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from facilities.models import TwinAccuracy
from facilities.twin.estimate.blocks import FOLLOWED
from facilities.twin.estimate.fitness import Fitness, Score

HORIZONS: Final = ("step", "free")
KEPT_DAYS: Final = 400
UNITS: Final = {f"{f.kind}.{f.quantity}": f.unit for f in FOLLOWED}


class Hours:
    """Sums of this hour and of the last one, by horizon; stored as JSON with the tracker's row."""

    def __init__(self, stored: dict[str, Any] | None = None) -> None:
        stored = stored or {}
        self.hour = str(stored.get("hour", ""))
        self.now = {h: Score.from_json(stored.get(h, {})) for h in HORIZONS}
        self.before = {h: Score.from_json(stored.get(f"last_{h}", {})) for h in HORIZONS}

    def add(self, *, at: datetime, step: Score, free: Score) -> bool:
        """Take what came since the last call; returns whether an hour ended with it.

        The row of an hour is written when the hour ends, and once more after a restart.
        """
        hour = _hour(at).isoformat()
        ended = bool(self.hour) and hour != self.hour
        if ended:
            accuracy_store(hour=datetime.fromisoformat(self.hour), scores=self.now)
            self.before, self.now = self.now, {h: Score() for h in HORIZONS}
        self.hour = hour
        self.now["step"] = self.now["step"].merged(step)
        self.now["free"] = self.now["free"].merged(free)
        return ended

    def fitness(self) -> dict[str, dict[str, Any]]:
        """By quantity: the uncorrected 30 minutes where there are any yet, and one step ahead."""
        results = {h: self.now[h].merged(self.before[h]).results() for h in HORIZONS}
        found: dict[str, dict[str, Any]] = {}
        for quantity, step in results["step"].items():
            free = results["free"].get(quantity)
            chosen: Fitness = free or step
            found[quantity] = {
                **chosen.as_dict(),
                "unit": UNITS.get(quantity, ""),
                "horizon": "free" if free else "step",
                "step": step.as_dict(),
                "free": free.as_dict() if free else None,
            }
        return found

    def to_json(self) -> dict[str, Any]:
        """For the row."""
        return {
            "hour": self.hour,
            **{h: self.now[h].to_json() for h in HORIZONS},
            **{f"last_{h}": self.before[h].to_json() for h in HORIZONS},
        }


def accuracy_store(*, hour: datetime, scores: dict[str, Score]) -> int:
    """Write the rows of an hour, in place of those that are there; returns how many."""
    rows = [
        TwinAccuracy(
            hour=hour,
            quantity=quantity,
            horizon=horizon,
            unit=UNITS.get(quantity, ""),
            samples=found.samples,
            mean=found.mean,
            rmse=found.rmse,
            cv_rmse_pct=found.cv_rmse_pct,
            nmbe_pct=found.nmbe_pct,
            passed=found.passed,
        )
        for horizon, score in scores.items()
        for quantity, found in score.results().items()
        if found.samples
    ]
    TwinAccuracy.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["hour", "quantity", "horizon"],
        update_fields=["unit", "samples", "mean", "rmse", "cv_rmse_pct", "nmbe_pct", "passed"],
    )
    return len(rows)


def _hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
