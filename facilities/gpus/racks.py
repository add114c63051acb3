"""A rack as its page shows it: servers, GPUs, air, power by feed, neighbours, alarms."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from django.db.models import Q

from facilities.models import Alarm, Asset, AssetLink, LatestReading, Point, Rack
from facilities.models.asset import AssetKind, LinkKind
from facilities.models.reading import Quality
from facilities.selectors import open_alarms
from facilities.series import wall_series
from facilities.twin.estimate.sensor import Instruments, SensorFilter
from facilities.twin.thermal.envelope import ENVELOPES

from .read import GpuRow, gpu_rows

GAP_WINDOW: Final = timedelta(minutes=5)
SLOPE_NOISE: Final = 1e-6
"""Restlessness of air temperature, K²/s³ (assumed: the slope changes by 0.06 K/min in 1 s)."""

SCALE_C: Final = (10.0, 40.0)
"""Ends of the inlet scale on the page."""


@dataclass(frozen=True, slots=True)
class Feed:
    """One power feed of a rack; ``share_w`` is what the rack draws through it."""

    tag: str
    name: str
    closed: bool | None
    share_w: float | None
    current_a: float | None


@dataclass(frozen=True, slots=True)
class ServerRow:
    """One server with its GPUs in slot order."""

    tag: str
    name: str
    values: dict[str, float]
    gpus: list[GpuRow]


@dataclass(frozen=True)
class RackView:
    """A rack now. Values are None where nothing was read."""

    rack: Rack
    asset: Asset
    values: dict[str, float]
    points: dict[str, Point]
    servers: list[ServerRow]
    feeds: list[Feed]
    neighbours: list[tuple[str, Asset]]
    alarms: list[Alarm]
    liquid: float
    around: list[Rack] = field(default_factory=list)

    @property
    def gpus(self) -> list[GpuRow]:
        """Every GPU of the rack."""
        return [gpu for server in self.servers for gpu in server.gpus]

    @property
    def limited(self) -> int:
        """How many GPUs a limit holds, or are lost."""
        return sum(gpu.is_limited or gpu.is_lost for gpu in self.gpus)

    @property
    def lost_pct(self) -> float | None:
        """Throughput of the rack that limits cost now, percent; None when no clock is read."""
        speeds = [gpu.speed for gpu in self.gpus if gpu.speed is not None]
        return (1.0 - sum(speeds) / len(speeds)) * 100.0 if speeds else None

    @property
    def load_pct(self) -> float | None:
        """Power over the rating, percent."""
        power = self.values.get("power_w")
        return None if power is None else power / self.rack.rated_w * 100.0

    @property
    def rise_k(self) -> float | None:
        """Outlet over inlet."""
        if "inlet_c" not in self.values or "outlet_c" not in self.values:
            return None
        return self.values["outlet_c"] - self.values["inlet_c"]

    @property
    def liquid_w(self) -> float | None:
        """Heat that goes into the water."""
        power = self.values.get("power_w")
        return None if power is None else power * self.liquid

    @property
    def verdict(self) -> tuple[str, str]:
        """Inlet against ASHRAE: words and tone."""
        inlet = self.values.get("inlet_c")
        if inlet is None:
            return "not read", "neutral"
        recommended, allowable = ENVELOPES["recommended"], ENVELOPES["A1"]
        if recommended.low_c <= inlet <= recommended.high_c:
            return "within recommended", "ok"
        if allowable.low_c <= inlet <= allowable.high_c:
            side = "above" if inlet > recommended.high_c else "below"
            return f"{side} recommended, allowed in class A1", "medium"
        return "outside class A1", "critical"


def rack_view(*, tag: str) -> RackView:
    """A rack with all that its page needs. Nine queries. Raises ``Rack.DoesNotExist``."""
    rack = Rack.objects.select_related("hall").get(tag=tag)
    asset = Asset.objects.filter(tag=tag).first()
    if asset is None:
        raise Rack.DoesNotExist(f"rack {tag} has no asset")
    servers = list(Asset.objects.filter(rack=rack, kind=AssetKind.SERVER).order_by("tag"))
    links = AssetLink.objects.filter(Q(target=asset) | Q(source=asset)).select_related(
        "source", "target"
    )
    neighbours = [
        (link.kind, link.source if link.target_id == asset.pk else link.target) for link in links
    ]
    pdus = [other for kind, other in neighbours if kind == LinkKind.POWER]
    leaves = {str(server.attributes.get("leaf")) for server in servers} - {"None"}
    if leaves:
        neighbours += [
            (str(LinkKind.NETWORK), leaf) for leaf in Asset.objects.filter(tag__in=leaves)
        ]
    values = _latest([asset, *servers, *pdus])
    by_server: dict[str, list[GpuRow]] = defaultdict(list)
    for gpu in gpu_rows(assets=Asset.objects.filter(rack=rack)):
        by_server[gpu.server].append(gpu)
    own = values.get(asset.pk, {})
    return RackView(
        rack=rack,
        asset=asset,
        values=own,
        points={point.quantity: point for point in Point.objects.filter(asset=asset)},
        servers=[
            ServerRow(
                server.tag,
                server.name,
                values.get(server.pk, {}),
                sorted(by_server.get(server.tag, []), key=lambda gpu: gpu.tag),
            )
            for server in servers
        ],
        feeds=_feeds(pdus, values, own.get("power_w")),
        neighbours=neighbours,
        alarms=list(
            open_alarms().filter(Q(point__asset=asset) | Q(point__asset__rack=rack)).distinct()[:20]
        ),
        liquid=min(max(float(asset.attributes.get("liquid_fraction") or 0.0), 0.0), 1.0),
        around=list(Rack.objects.filter(hall=rack.hall).order_by("row", "position")),
    )


def _latest(assets: list[Asset]) -> dict[int, dict[str, float]]:
    found: dict[int, dict[str, float]] = defaultdict(dict)
    rows = LatestReading.objects.filter(point__asset__in=[asset.pk for asset in assets])
    for pk, quantity, value in rows.values_list("point__asset_id", "point__quantity", "value"):
        found[pk][quantity] = value
    return found


def _feeds(
    pdus: list[Asset], values: dict[int, dict[str, float]], power_w: float | None
) -> list[Feed]:
    """The cords share the load equally; a dead one leaves it to the others (assumed)."""
    known = {pdu.tag: values.get(pdu.pk, {}).get("breaker_closed") for pdu in pdus}
    live_feeds = sum(value is None or value >= 0.5 for value in known.values())
    feeds = []
    for pdu in sorted(pdus, key=lambda one: one.tag):
        closed = None if known[pdu.tag] is None else known[pdu.tag] >= 0.5  # type: ignore[operator]
        share = None
        if power_w is not None and live_feeds:
            share = 0.0 if closed is False else power_w / live_feeds
        current = values.get(pdu.pk, {}).get("current_a")
        feeds.append(Feed(pdu.tag, pdu.name, closed, share, current))
    return feeds


@dataclass(frozen=True, slots=True)
class RackTwin:
    """What the twin knows of a rack beyond its points."""

    at: datetime
    followed: bool
    inlet_c: float
    airflow_m3s: float
    recirculation: float
    """Share of the inlet air that has been through racks, 0..1."""
    true_inlet_c: float | None
    """Behind the sensor's lag; None without readings."""
    shown_inlet_c: float | None
    slope_k_per_min: float | None
    sigma_k: float | None


def rack_twin(*, tag: str) -> RackTwin:
    """Airflow, recirculation and the sensor's gap of one rack.

    Raises ``SiteError`` for a data list that cannot be simulated, or a rack that it lacks. Seven
    queries; about 50 ms.
    """
    from facilities.tracking import live  # the whole twin: only this needs it

    now = live.current()
    place = now.twin.site.locate(tag)
    values = now.twin.values(now.state, now.drive)

    def of(quantity: str) -> float:
        return float(values["rack", quantity][0, place.row])

    gap = sensor_gap(tag=f"{tag}.inlet_c")
    return RackTwin(
        at=now.at,
        followed=now.followed,
        inlet_c=of("inlet_c"),
        airflow_m3s=of("airflow_m3s"),
        recirculation=of("recirculation"),
        true_inlet_c=gap.get("value"),
        shown_inlet_c=gap.get("shown"),
        slope_k_per_min=gap.get("slope_per_min"),
        sigma_k=gap.get("sigma"),
    )


def sensor_gap(*, tag: str) -> dict[str, Any]:
    """The true value behind a slow instrument's last minutes; empty without usable readings."""
    point = Point.objects.filter(tag=tag).first()
    if point is None:
        return {}
    end = datetime.now(UTC)
    found = wall_series(tags=[tag], start=end - GAP_WINDOW, end=end, max_points=400)
    series = found[0] if found else None
    if series is None or not series.ts:
        return {}
    one = np.ones(1)
    kalman = SensorFilter(
        Instruments(
            tau_s=one * (point.response_time_s or 0.0),
            precision=one * (point.precision or 0.1),
            delay_s=one * 0.5 * (point.sampling_interval_s or 0.0),
            slope_noise=one * SLOPE_NOISE,
        )
    )
    before = series.ts[0]
    for at, value, flag in zip(series.ts, series.values, series.flags, strict=True):
        if value is None or flag >= Quality.FAIL:
            continue
        kalman.update(at - before, one * value, np.array([flag]))
        before = at
    gap = kalman.gap()
    if not np.isfinite(gap.value[0]):
        return {}
    return {
        "value": float(gap.value[0]),
        "shown": float(series.usable()[-1]) if series.usable() else None,
        "slope_per_min": float(gap.slope[0]) * 60.0,
        "sigma": float(gap.sigma[0]),
    }
