"""What pages and endpoints show of the followed twin. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Q, QuerySet
from django.utils import timezone

from facilities.models import TwinAccuracy, TwinFinding, TwinTracker
from facilities.twin.estimate.fitness import HOURLY, MONTHLY

FOLLOWED: Final = (
    "tag", "kind", "unit", "measured", "predicted", "residual", "sigma", "offset",
)  # fmt: skip
GAPS: Final = (
    "tag", "unit", "tau_s", "delay_s", "detected", "value", "slope", "gap", "sigma",
)  # fmt: skip
ESTIMATES: Final = ("asset", "name", "meaning", "value", "sigma", "prior", "known")
LIMITS: Final = {
    "hourly": {"cv_rmse_pct": HOURLY[0], "nmbe_pct": HOURLY[1]},
    "monthly": {"cv_rmse_pct": MONTHLY[0], "nmbe_pct": MONTHLY[1]},
}
STALE: Final = timedelta(seconds=60)


@dataclass(frozen=True)
class Status:
    """The tracker's row, read once. ``following`` tells whether its state is fresh."""

    row: TwinTracker

    @property
    def following(self) -> bool:
        """Whether a process moved the state within the last minute."""
        return self.row.at is not None and self.row.at >= timezone.now() - STALE

    @property
    def age_s(self) -> float | None:
        """Age of the state."""
        return None if self.row.at is None else (timezone.now() - self.row.at).total_seconds()

    def followed(self) -> list[dict[str, Any]]:
        """Followed points, the most surprising first: |residual| by sigma, as ``z``."""
        rows = [dict(zip(FOLLOWED, row, strict=True)) for row in self._columns("followed")]
        for row in rows:
            row["z"] = row["residual"] / row["sigma"] if row["sigma"] > 0 else 0.0
        return sorted(rows, key=lambda row: -abs(row["z"]))

    def gaps(self) -> list[dict[str, Any]]:
        """Slow sensors, the widest gap first."""
        rows = [dict(zip(GAPS, row, strict=True)) for row in self._columns("gaps")]
        for row in rows:
            row["slope_min"] = 60.0 * row["slope"]
        return sorted(rows, key=lambda row: -abs(row["gap"]))

    def estimates(self) -> list[dict[str, Any]]:
        """Estimated parameters; those furthest from what was believed beforehand first."""
        rows = [dict(zip(ESTIMATES, row, strict=True)) for row in self.row.estimates]
        for row in rows:
            row["away_pct"] = 100.0 * (row["value"] / row["prior"] - 1.0) if row["prior"] else None
        return sorted(rows, key=lambda row: (not row["known"], -abs(row["away_pct"] or 0.0)))

    def fitness(self) -> list[dict[str, Any]]:
        """Fitness by quantity, in order of name, with both horizons."""
        return [{"quantity": name, **found} for name, found in sorted(self.row.fitness.items())]

    def costs(self, incident: str) -> list[dict[str, Any]]:
        """What slow sensors cost in an incident, the latest reaction first."""
        rows = self.row.costs.get("incidents", {}).get(incident, [])
        return sorted(rows, key=lambda row: -(row["late_s"] or 0.0))

    def _columns(self, name: str) -> list[list[Any]]:
        points = self.row.points
        return list(points.get(name, [])) if isinstance(points, dict) else []


def status() -> Status:
    """The tracker as it is. One query; without the stored arrays."""
    row = TwinTracker.objects.filter(pk=1).defer("arrays", "memory").first()
    return Status(row or TwinTracker())


def findings(*, open_only: bool = True) -> QuerySet[TwinFinding]:
    """Findings, soonest first, with asset and point."""
    found = TwinFinding.objects.select_related("asset", "point")
    return found.filter(closed_at=None) if open_only else found


def accuracy_hours(*, since: datetime, quantity: str = "") -> QuerySet[TwinAccuracy]:
    """Accuracy by hour since a time, newest first."""
    found = TwinAccuracy.objects.filter(hour__gte=since)
    return found.filter(quantity=quantity) if quantity else found


def of_instruments() -> Q:
    """Filter of quality rows: what an instrument sends, neither computed from other points nor the
    twin's own residuals.
    """
    own = Q(point__quantity__endswith="_residual") | Q(point__quantity__endswith="_residual_sigma")
    return Q(point__derived__isnull=True) & ~own
