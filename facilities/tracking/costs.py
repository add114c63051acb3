"""What slow sensors cost, simulated from the live state once an hour."""

from __future__ import annotations

from typing import Any, Final

from django.utils import timezone

from facilities.models import TwinTracker
from facilities.twin.estimate.sensor_cost import (
    LEVELS,
    Incident,
    SensorCost,
    Watched,
    sensor_costs,
)
from facilities.twin.estimate.tracker import Tracker

INCIDENTS: Final[tuple[Incident, ...]] = ("unit lost", "cooling lost", "load step")
MOST_RACKS: Final = 64
"""Racks looked at; in a larger hall the fullest ones."""

DEFAULT_TAU_S: Final = 10.0


def costs_store(*, tracker: Tracker) -> dict[str, Any]:
    """Simulate the incidents for the racks' inlet sensors and store what they cost."""
    twin, state, drive = tracker.live()
    watched = watched_racks(tracker)
    found: dict[str, Any] = {"levels": list(LEVELS), "incidents": {}}
    for incident in INCIDENTS:
        rows = sensor_costs(twin, state, drive, watched, incident=incident)
        found["incidents"][incident] = [_row(row) for row in rows]
    TwinTracker.objects.filter(pk=1).update(costs=found, costs_at=timezone.now())
    return found


def watched_racks(tracker: Tracker) -> list[Watched]:
    """Inlet sensors of the racks, fullest first."""
    column = tracker.points.columns.get(("rack", "inlet_c"))
    if column is None:
        return []
    rated = tracker.site.attribute("rack", "rated_w", 0.0)
    specs = sorted(
        (spec for spec in column.specs if spec is not None),
        key=lambda spec: -rated[tracker.site.locate(spec.asset).row],
    )
    return [
        Watched(
            spec.asset,
            DEFAULT_TAU_S if spec.tau_s is None else spec.tau_s,
            0.5 * (spec.interval_s or 0.0),
        )
        for spec in specs[:MOST_RACKS]
    ]


def _row(cost: SensorCost) -> dict[str, Any]:
    own, fast, ideal = cost.outcomes
    return {
        "rack": cost.rack,
        "tau_s": cost.tau_s,
        "delay_s": cost.delay_s,
        "late_s": cost.late_s,
        "acted_s": own.acted_s,
        "ideal_acted_s": ideal.acted_s,
        "peak_c": round(own.peak_c, 2),
        "ideal_peak_c": round(ideal.peak_c, 2),
        "over_k_min": round(own.over_k_min - ideal.over_k_min, 3),
        "lost_gpu_s": round(cost.lost_gpu_s, 1),
        "wasted_wh": round(cost.wasted_wh, 1),
        "faster_saves": {
            "s": None
            if own.acted_s is None or fast.acted_s is None
            else own.acted_s - fast.acted_s,
            "over_k_min": round(own.over_k_min - fast.over_k_min, 3),
            "gpu_s": round(own.lost_gpu_s - fast.lost_gpu_s, 1),
            "wh": round(own.energy_wh - fast.energy_wh, 1),
        },
    }
