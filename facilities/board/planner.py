"""What a planned number of points, rates and retention needs, and what breaks first."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

import psutil
from django.conf import settings
from django.db import connection

from facilities.board.cells import bits, number, size
from facilities.board.rates import Rate, read_rates, table_size
from facilities.models import AssetLink, Point
from facilities.models.asset import LinkKind
from facilities.quality.judge import EVERY_S

BUSY: Final = 0.7
"""Share of a core that work may use, so that bursts are served; assumed."""
JUDGE_S: Final = 300.0
"""A point's quality is to be judged at least this often; assumed."""
DISK_SHARE: Final = 0.8
"""Share of a disk that may be full; assumed (PostgreSQL needs room to vacuum)."""
LINK_SHARE: Final = 0.1
"""Share of one uplink that telemetry may use beside everything else; assumed."""


class PlanInput(NamedTuple):
    """What is planned. ``interval_s`` is the mean sampling interval."""

    points: int
    interval_s: float
    retention_days: int
    retention_1m_days: int
    retention_1h_days: int

    def problem(self) -> str:
        """Why this cannot be planned; empty when it can."""
        for name, value, high in (
            ("points", self.points, 100_000_000),
            ("interval_s", self.interval_s, 86_400),
            ("retention_days", self.retention_days, 36_500),
            ("retention_1m_days", self.retention_1m_days, 36_500),
            ("retention_1h_days", self.retention_1h_days, 36_500),
        ):
            if not (math.isfinite(value) and 0 < value <= high):
                return f"{name} {value:g} must be above 0 and at most {high:,}."
        return ""


@dataclass(frozen=True, slots=True)
class Need:
    """One resource: what the plan needs, what is here, and the share; None where unknown."""

    key: str
    title: str
    needed: float
    needed_text: str
    available: float | None
    available_text: str
    how: str
    measured: bool

    @property
    def share(self) -> float | None:
        """Needed over available."""
        return self.needed / self.available if self.available else None


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer of the planner."""

    wanted: PlanInput
    readings_per_s: float
    needs: tuple[Need, ...]
    web_workers: int
    telemetry_workers: int
    rates: dict[str, Rate]
    at: datetime

    @property
    def breaks_first(self) -> Need | None:
        """The resource with the largest share among those whose limit is known."""
        known = [need for need in self.needs if need.share is not None]
        return max(known, key=lambda need: need.share or 0.0, default=None)

    @property
    def points_possible(self) -> int | None:
        """Points at these rates and retention until the first resource is used up."""
        first = self.breaks_first
        if first is None or not first.share:
            return None
        return round(self.wanted.points / first.share)

    @property
    def fits(self) -> bool:
        """Whether nothing that is known is exceeded."""
        first = self.breaks_first
        return first is None or (first.share or 0.0) <= 1.0


def present() -> PlanInput:
    """The data list and retention as they are now, as a starting point."""
    intervals = [
        value
        for value in Point.objects.values_list("sampling_interval_s", flat=True)
        if value and value > 0
    ]
    rate = sum(1.0 / value for value in intervals)
    return PlanInput(
        points=max(Point.objects.count(), 1),
        interval_s=len(intervals) / rate if rate else 60.0,
        retention_days=settings.RETENTION_DAYS,
        retention_1m_days=settings.RETENTION_1M_DAYS,
        retention_1h_days=settings.RETENTION_1H_DAYS,
    )


def capacity_plan(*, wanted: PlanInput, now: datetime | None = None) -> Plan:
    """Reckon the plan from rates measured here. Raises ``ValueError`` for an impossible input."""
    if problem := wanted.problem():
        raise ValueError(problem)
    now = now or datetime.now(UTC)
    rates = read_rates(now=now)
    per_s = wanted.points / wanted.interval_s
    needs = (
        _cores(wanted, per_s, rates),
        _database(per_s, rates),
        _storage(wanted, per_s, rates),
        _bandwidth(per_s, rates),
        _memory(wanted),
    )
    return Plan(
        wanted=wanted,
        readings_per_s=per_s,
        needs=needs,
        web_workers=max(1, math.ceil(per_s * rates["ingest_us"].value / 1e6 / BUSY)),
        telemetry_workers=max(1, math.ceil(_judging_cores(wanted, rates) / BUSY)),
        rates=rates,
        at=now,
    )


def _judging_cores(wanted: PlanInput, rates: dict[str, Rate]) -> float:
    every = max(min(JUDGE_S, wanted.interval_s * 10), EVERY_S)
    return wanted.points / every * rates["judge_us"].value / 1e6


def _cores(wanted: PlanInput, per_s: float, rates: dict[str, Rate]) -> Need:
    ingest = per_s * rates["ingest_us"].value / 1e6
    needed = (ingest + _judging_cores(wanted, rates)) / BUSY
    have = psutil.cpu_count() or 1
    return Need(
        "cores",
        "Cores",
        needed,
        f"{number(needed)} cores",
        float(have),
        f"{have} cores",
        f"{number(per_s)} readings/s · {number(rates['ingest_us'].value)} µs, quality tests "
        f"{number(rates['judge_us'].value)} µs a point, cores {BUSY:.0%} busy",
        rates["ingest_us"].measured,
    )


def _database(per_s: float, rates: dict[str, Rate]) -> Need:
    most = rates["copy_per_s"].value * BUSY
    return Need(
        "database",
        "Database writes",
        per_s,
        f"{number(per_s)} rows/s",
        most,
        f"{number(most)} rows/s",
        f"one writer's COPY at {BUSY:.0%}; {rates['copy_per_s'].how}",
        rates["copy_per_s"].measured,
    )


def _storage(wanted: PlanInput, per_s: float, rates: dict[str, Rate]) -> Need:
    readings = per_s * 86_400 * wanted.retention_days * rates["disk_bytes"].value
    minutes = wanted.points * min(1440.0, 86_400 / wanted.interval_s) * wanted.retention_1m_days
    hours = wanted.points * 24.0 * wanted.retention_1h_days
    total = readings + (minutes + hours) * rates["rollup_bytes"].value
    free: float | None = None
    said = "unknown: the database runs elsewhere"
    if str(connection.settings_dict["HOST"]) in ("", "localhost", "127.0.0.1", "::1"):
        disk = shutil.disk_usage(settings.DATA_DIR)
        free = disk.total * DISK_SHARE - (disk.used - _stored_here())
        free = max(free, 1.0)
        said = f"{size(free)} on this disk, {DISK_SHARE:.0%} full"
    return Need(
        "storage",
        "Storage",
        total,
        size(total),
        free,
        said,
        f"readings {size(readings)} for {wanted.retention_days} days at "
        f"{number(rates['disk_bytes'].value)} B; minutes {size(minutes * rates['rollup_bytes'].value)}, "
        f"hours {size(hours * rates['rollup_bytes'].value)}",
        rates["disk_bytes"].measured,
    )


def _stored_here() -> float:
    """Bytes that readings and rollups use already: they count as available."""
    tables = ("facilities_reading", "facilities_rollup1m", "facilities_rollup1h")
    return sum(table_size(table)[0] for table in tables)


def _bandwidth(per_s: float, rates: dict[str, Rate]) -> Need:
    needed = per_s * rates["wire_bytes"].value * 8
    gbps = [
        float(attributes["capacity_gbps"])
        for attributes in AssetLink.objects.filter(kind=LinkKind.NETWORK).values_list(
            "attributes", flat=True
        )
        if attributes.get("management") and attributes.get("capacity_gbps")
    ]
    most = min(gbps) * 1e9 * LINK_SHARE if gbps else None
    return Need(
        "bandwidth",
        "Bandwidth",
        needed,
        bits(needed),
        most,
        f"{bits(most)}: {LINK_SHARE:.0%} of the slowest management link"
        if most
        else "unknown: no management link declares capacity_gbps",
        f"{number(per_s)} readings/s · {number(rates['wire_bytes'].value)} B; {rates['wire_bytes'].how}",
        rates["wire_bytes"].measured,
    )


PROCESS_BYTES: Final = 250e6
"""One web process with the data list empty; measured with make run: about 200 MB resident."""
POINT_BYTES: Final = 2_000.0
"""What a process keeps for a point (data list, quality and rule state); assumed."""


def _memory(wanted: PlanInput) -> Need:
    needed = PROCESS_BYTES + wanted.points * POINT_BYTES
    have = float(psutil.virtual_memory().total)
    return Need(
        "memory",
        "Memory of one web process",
        needed,
        size(needed),
        have / 2,
        f"{size(have / 2)}, half of this machine",
        f"{size(PROCESS_BYTES)} and {size(POINT_BYTES)} a point (assumed)",
        False,
    )


def wanted_of(base: PlanInput, given: dict[str, str]) -> PlanInput:
    """A plan from form or query values over ``base``. Raises ``ValueError`` naming the field."""
    values = base._asdict()
    for name in PlanInput._fields:
        text = given.get(name, "").strip()
        if not text:
            continue
        try:
            values[name] = float(text) if name == "interval_s" else int(text)
        except ValueError:
            kind = "a number" if name == "interval_s" else "a whole number"
            raise ValueError(f"{name} {text[:40]!r} is not {kind}.") from None
    wanted = PlanInput(**values)
    if problem := wanted.problem():
        raise ValueError(problem)
    return wanted
