"""The ratios at this moment, from the newest readings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from facilities.models import LatestReading, Quality

from . import ratios
from .integrate import powers
from .meters import COUNTER, metering_plan

FRESH: Final = timedelta(minutes=5)
"""An older reading says nothing about now (assumed)."""


@dataclass(frozen=True)
class Now:
    """Ratios of the powers at ``at`` (the newest reading; None: there is none).

    Energies of ``ratios`` are those of one hour at these powers: Wh read as W.
    """

    at: datetime | None
    ratios: ratios.Ratios
    stale: list[str]
    issues: list[str]


def energy_now(*, now: datetime | None = None) -> Now:
    """Every ratio from the newest usable reading of each meter. Three queries."""
    moment = now or datetime.now(UTC)
    plan = metering_plan()
    latest = {
        point: (ts, value)
        for point, ts, value in LatestReading.objects.filter(
            point_id__in=[meter.point for meter in plan.meters], quality__lt=Quality.FAIL
        ).values_list("point_id", "ts", "value")
    }
    values = np.full((len(plan.meters), 1), np.nan)
    stale = []
    newest: datetime | None = None
    for n, meter in enumerate(plan.meters):
        found = latest.get(meter.point)
        if meter.kind == COUNTER or found is None or moment - found[0] > FRESH:
            stale.append(meter.tag)
            continue
        values[n, 0] = found[1] * meter.scale
        newest = found[0] if newest is None else max(newest, found[0])
    unbounded = np.full_like(values, np.nan)
    measured = powers(values, (~np.isnan(values)).astype(np.float64), unbounded)
    flow = ratios.flows(plan, measured)
    return Now(
        newest,
        ratios.ratios_of(flow, np.full(1, 3600.0), plan.tariff),
        stale,
        ratios.issues(plan, flow),
    )
