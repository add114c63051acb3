"""GPUs with their newest readings, their device's limits and the limit in charge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import QuerySet
from django.utils import timezone

from facilities.models import Asset, LatestReading
from facilities.models.asset import AssetKind
from facilities.twin.gpu.devices import Device, device_of
from facilities.twin.gpu.layout import installed
from facilities.twin.gpu.nvml import LIMITING, REASONS, XIDS, Reason, Xid, decode, in_charge
from facilities.twin.site import AssetRecord, SiteError

STALE_AFTER: Final = timedelta(seconds=30)
"""Readings older than this do not tell what limits a GPU now (assumed)."""

QUANTITIES: Final = (
    "temp_c",
    "power_w",
    "util_pct",
    "sm_clock_mhz",
    "throttle_reasons",
    "power_limit_w",
    "xid",
)
TONES: Final = {
    Reason.HW_THERMAL_SLOWDOWN: "critical",
    Reason.HW_POWER_BRAKE_SLOWDOWN: "critical",
    Reason.HW_SLOWDOWN: "critical",
    Reason.SW_THERMAL_SLOWDOWN: "high",
    Reason.SW_POWER_CAP: "medium",
    Reason.SYNC_BOOST: "low",
    Reason.APPLICATIONS_CLOCKS_SETTING: "low",
}


@dataclass(frozen=True, slots=True)
class GpuRow:
    """One GPU now. A quantity is None when it was never read; ``at`` is the newest reading."""

    tag: str
    name: str
    server: str
    rack: str
    device: Device
    problem: str
    """What is wrong with the data list's line, in which case the default device stands in."""
    attributes: dict[str, Any]
    temp_c: float | None = None
    power_w: float | None = None
    util_pct: float | None = None
    sm_clock_mhz: float | None = None
    throttle_reasons: float | None = None
    power_limit_w: float | None = None
    xid: float | None = None
    at: datetime | None = None

    @property
    def is_fresh(self) -> bool:
        """Whether the newest reading still tells about now."""
        return self.at is not None and timezone.now() - self.at <= STALE_AFTER

    @property
    def limit_w(self) -> float:
        """Power limit in force as far as it is known, W."""
        set_w = self.power_limit_w
        return self.device.max_w if set_w is None else min(set_w, self.device.max_w)

    @property
    def reason(self) -> Reason:
        """The limit in charge by the device's own word, else by what the temperature implies."""
        if self.throttle_reasons is not None:
            return in_charge(self.throttle_reasons)
        if self.temp_c is not None and self.temp_c >= self.device.slowdown_c:
            return Reason.HW_THERMAL_SLOWDOWN
        if self.temp_c is not None and self.temp_c >= self.device.max_op_c:
            return Reason.SW_THERMAL_SLOWDOWN
        return Reason.NONE

    @property
    def reasons(self) -> list[Reason]:
        """Every reason present, the one in charge first."""
        return decode(self.throttle_reasons or 0)

    @property
    def is_limited(self) -> bool:
        """Whether a limit costs throughput now."""
        return self.reason in LIMITING

    @property
    def label(self) -> str:
        """The limit in charge in words."""
        if self.is_lost:
            return "lost"
        if self.reason is Reason.NONE:
            return "none"
        return REASONS[self.reason].label

    @property
    def tone(self) -> str:
        """Badge tone of the limit in charge; grey is normal."""
        return "critical" if self.is_lost else TONES.get(self.reason, "neutral")

    @property
    def is_lost(self) -> bool:
        """Whether the last XID says that the GPU is gone from the bus."""
        return self.xid is not None and int(self.xid) == 79

    @property
    def xid_row(self) -> Xid | None:
        """What the last XID means; None for none or an unknown one."""
        return XIDS.get(int(self.xid)) if self.xid else None

    @property
    def margin_k(self) -> float | None:
        """Kelvin below the maximum operating temperature."""
        return None if self.temp_c is None else self.device.max_op_c - self.temp_c

    @property
    def speed(self) -> float | None:
        """Share of the top clock that work gets; None when unknown or idle."""
        if self.is_lost:
            return 0.0
        if self.sm_clock_mhz is None or self.reason is Reason.GPU_IDLE:
            return None
        return min(self.sm_clock_mhz / self.device.max_clock_mhz, 1.0)

    @property
    def rank(self) -> tuple[int, float, str]:
        """Order of lists: lost, then by the limit in charge, then the hottest."""
        place = LIMITING.index(self.reason) if self.is_limited else len(LIMITING)
        return (-1 if self.is_lost else place, -(self.temp_c or 0.0), self.tag)


def gpu_rows(*, assets: QuerySet[Asset] | None = None) -> list[GpuRow]:
    """GPUs (all, or those of a query) with their newest readings, limited ones first. Two queries.

    Cost: about 25 µs a GPU.
    """
    found = (Asset.objects.all() if assets is None else assets).filter(kind=AssetKind.GPU)
    listed = list(found.select_related("rack", "parent"))
    latest = LatestReading.objects.filter(point__quantity__in=QUANTITIES)
    if assets is None:
        latest = latest.filter(point__asset__kind=AssetKind.GPU)
    else:
        latest = latest.filter(point__asset__in=[asset.pk for asset in listed])
    values: dict[int, dict[str, Any]] = defaultdict(dict)
    for pk, quantity, value, ts in latest.values_list(
        "point__asset_id", "point__quantity", "value", "ts"
    ):
        values[pk][quantity] = value
        values[pk]["at"] = max(ts, values[pk].get("at", ts))
    return sorted((_row(asset, values.get(asset.pk, {})) for asset in listed), key=by_rank)


def by_rank(row: GpuRow) -> tuple[int, float, str]:
    """Sort key of lists."""
    return row.rank


def gpu_row(*, tag: str) -> GpuRow:
    """One GPU. Raises ``Asset.DoesNotExist``."""
    rows = gpu_rows(assets=Asset.objects.filter(tag=tag))
    if not rows:
        raise Asset.DoesNotExist(f"no GPU is called {tag}")
    return rows[0]


def _row(asset: Asset, values: dict[str, Any]) -> GpuRow:
    record = AssetRecord(asset.tag, "gpu", attributes=asset.attributes)
    problem = ""
    try:
        device = installed(record)
    except SiteError as error:
        device, problem = device_of(None), str(error)
    return GpuRow(
        tag=asset.tag,
        name=asset.name,
        server=asset.parent.tag if asset.parent else "",
        rack=asset.rack.tag if asset.rack else "",
        device=device,
        problem=problem,
        attributes=asset.attributes,
        **values,
    )


def matching(rows: Iterable[GpuRow], *, search: str = "", limited: bool = False) -> list[GpuRow]:
    """Rows with every word in tag, server, rack or limit; ``limited`` keeps the limited and lost."""
    words = search.lower().split()[:8]
    return [
        row
        for row in rows
        if (not limited or row.is_limited or row.is_lost)
        and all(
            word in f"{row.tag} {row.server} {row.rack} {row.label} {row.device.name}".lower()
            for word in words
        )
    ]
