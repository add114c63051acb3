"""PUE, WUE, CUE and REF over any period, with the energy of each end use and what is missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from facilities.models.rollup import Level
from facilities.partitions import ROLLUPS_1M
from facilities.series.fetch import sums

from . import ratios
from .integrate import Grid, Measured, counters, grid, powers
from .meters import COUNTER, Plan, metering_plan

LONGEST: Final = timedelta(days=400)
MAX_STEPS: Final = 2_000
FINE: Final = timedelta(days=2)
"""Longer periods are summed from hours instead of minutes."""


class PeriodError(ValueError):
    """A period or step that cannot be answered; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Input:
    """The meters of one role and how well they covered the period."""

    role: str
    meters: tuple[str, ...]
    silent: tuple[str, ...]
    coverage: float
    bridged: int
    negative: int
    resets: int


@dataclass(frozen=True)
class Step:
    """The ratios over one step of the period."""

    start: datetime
    end: datetime
    ratios: ratios.Ratios


@dataclass(frozen=True)
class Report:
    """The whole period, its steps, and what they were made of."""

    start: datetime
    end: datetime
    step_s: float
    level: str
    whole: ratios.Ratios
    steps: list[Step]
    inputs: list[Input]
    issues: list[str] = field(default_factory=list)


def energy_report(
    *, start: datetime, end: datetime, step_s: float = 0.0, now: datetime | None = None
) -> Report:
    """Integrate what meters said in [start, end) and make the ratios of it. Four queries.

    ``step_s`` 0 is one step. A period that reaches into the future ends now. Raises
    ``PeriodError``.
    """
    end = min(end, now or datetime.now(UTC))
    _check(start, end, step_s)
    plan = metering_plan()
    level = _level(start, end, step_s)
    width_s = 60.0 if level == Level.MINUTE else 3600.0
    cells = grid(start.timestamp(), end.timestamp(), width_s)
    measured = read_meters(plan, cells, level)
    flows = ratios.flows(plan, measured)
    steps = _steps(flows, cells, plan, start, end, step_s) if step_s else []
    whole = ratios.ratios_of(flows, cells.weight_s, plan.tariff)
    inputs = _inputs(plan, measured, cells)
    return Report(
        start,
        end,
        step_s,
        level.label,
        whole,
        steps,
        inputs,
        [*ratios.issues(plan, flows), *_remarks(inputs)],
    )


def _steps(
    flows: ratios.Flows, cells: Grid, plan: Plan, start: datetime, end: datetime, step_s: float
) -> list[Step]:
    """The ratios of each step, counted from the first interval."""
    steps = []
    first = float(cells.begins[0])
    edges = np.arange(first, end.timestamp(), step_s)
    bounds = [*np.searchsorted(cells.begins, edges - 1e-3).tolist(), len(cells.begins)]
    for edge, low, high in zip(edges.tolist(), bounds[:-1], bounds[1:], strict=True):
        if low == high:
            continue
        begin = datetime.fromtimestamp(edge, UTC)
        chosen = slice(low, high)
        steps.append(
            Step(
                max(begin, start),
                min(begin + timedelta(seconds=step_s), end),
                ratios.ratios_of(flows.part(chosen), cells.weight_s[chosen], plan.tariff),
            )
        )
    return steps


def read_meters(plan: Plan, cells: Grid, level: Level) -> Measured:
    """The rate of every meter over every interval, (P, K). Two queries."""
    shape = (len(plan.meters), len(cells.begins))
    mean, highest = np.full(shape, np.nan), np.full(shape, np.nan)
    usable = np.zeros(shape)
    if plan.meters:
        last = cells.begins[-1] + cells.width_s
        found = sums(
            [meter.point for meter in plan.meters],
            level=level,
            origin=datetime.fromtimestamp(float(cells.begins[0]), UTC),
            end=datetime.fromtimestamp(float(last), UTC) - timedelta(microseconds=1),
            width_s=cells.width_s,
        )
        at = np.round((found.ts - cells.begins[0]) / cells.width_s).astype(np.int64)
        inside = (at >= 0) & (at < shape[1])
        where = (found.n[inside], at[inside])
        mean[where], highest[where] = found.mean[inside], found.high[inside]
        usable[where] = (found.count - found.bad)[inside]
    scale = np.array([meter.scale for meter in plan.meters])[:, None]
    every_s = np.array([meter.sampling_s or np.nan for meter in plan.meters])[:, None]
    rate = powers(mean * scale, usable, cells.weight_s / every_s)
    counted = [n for n, meter in enumerate(plan.meters) if meter.kind == COUNTER]
    if counted:
        of = counters(highest[counted] * scale[counted], cells.width_s)
        rate.rate[counted], rate.bridged[counted] = of.rate, of.bridged
        rate.negative[counted], rate.resets[counted] = 0.0, of.resets
    return rate


def _check(start: datetime, end: datetime, step_s: float) -> None:
    if start >= end:
        raise PeriodError(
            f"start {start.isoformat()} is not before end {end.isoformat()} (or lies in the future)"
        )
    if end - start > LONGEST:
        raise PeriodError(
            f"{(end - start).days} days were asked for; one answer holds {LONGEST.days}"
        )
    if step_s and (step_s < 60 or step_s % 60):
        raise PeriodError(f"step {step_s:g} s is not a whole number of minutes")
    if step_s and (end - start).total_seconds() / step_s > MAX_STEPS:
        least = (end - start).total_seconds() / MAX_STEPS
        raise PeriodError(
            f"step {step_s:g} s makes more than {MAX_STEPS} steps; take at least "
            f"{int(-(-least // 60) * 60)} s"
        )


def _level(start: datetime, end: datetime, step_s: float) -> Level:
    minutes_kept = start.astimezone(UTC).date() >= ROLLUPS_1M.kept_from(datetime.now(UTC))
    hourly = bool(step_s) and step_s % 3600 != 0
    if minutes_kept and (end - start <= FINE or hourly):
        return Level.MINUTE
    return Level.HOUR


def _inputs(plan: Plan, measured: Measured, cells: Grid) -> list[Input]:
    found = []
    for role in dict.fromkeys(meter.role for meter in plan.meters):
        rows = plan.of(role)
        known = measured.known[rows]
        share = (known.all(axis=0) * cells.weight_s).sum() / max(cells.seconds, 1e-9)
        tags = [plan.meters[n].tag for n in rows]
        found.append(
            Input(
                role,
                tuple(tags),
                tuple(tag for tag, row in zip(tags, known, strict=True) if not row.any()),
                float(share),
                int(measured.bridged[rows].sum()),
                int(measured.negative[rows].sum()),
                int(measured.resets[rows].sum()),
            )
        )
    return found


def _remarks(inputs: list[Input]) -> list[str]:
    said = []
    for item in inputs:
        if item.silent:
            shown = ", ".join(item.silent[:3]) + (" …" if len(item.silent) > 3 else "")
            said.append(
                f"{len(item.silent)} of {len(item.meters)} {item.role} meters said nothing: {shown}"
            )
        if item.negative:
            said.append(
                f"{item.role}: {item.negative} intervals read below zero and count as 0; check the "
                "direction of the meter"
            )
        if item.resets:
            said.append(f"{item.role}: counters were reset {item.resets} times")
    return said
