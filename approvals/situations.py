"""Reads the facility into the catalogue's pure `Situation`: four queries, whatever the size of the
hall (and one or two for the procedures, where a kind asks for them).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.conf import settings

from approvals.catalogue.equipment import (
    Connection,
    CoolingUnit,
    GpuState,
    JobState,
    LinkState,
    Machine,
    Place,
    RackState,
    ServerState,
    UpsState,
)
from approvals.catalogue.machines import KINDS as MACHINES
from approvals.catalogue.situation import Limits, Measured, Situation, reached
from approvals.procedures import procedures_in_force
from facilities import selectors
from facilities.models import Alarm, Asset, AssetLink, Point, Quality


class Standing(NamedTuple):
    """Kind of an asset and the slug of the hall it stands in or, for plant outside the halls, of
    the first hall that it serves ("": none).
    """

    kind: str
    hall: str


def hall_of(tag: str) -> Standing | None:
    """Where an asset is; None when the tag is unknown. One query, four for plant-wide assets."""
    asset = Asset.objects.filter(tag=tag).select_related("hall", "rack__hall").first()
    if asset is None:
        return None
    hall = asset.hall or (asset.rack.hall if asset.rack else None)
    return Standing(asset.kind, hall.slug if hall else _hall_served(asset))


def _hall_served(asset: Asset) -> str:
    """The hall of the nearest asset that is fed, cooled or reached from here; jobs: of their first
    server."""
    servers = asset.attributes.get("servers")
    tags = [str(tag) for tag in servers] if isinstance(servers, list) else []
    if not tags:
        links = _connections()
        tags = [t for kind in ("cooling", "power", "network")
                for t in reached(links, asset.tag, link=kind)]  # fmt: skip
    halls = dict(
        Asset.objects.filter(tag__in=tags, hall__isnull=False).values_list("tag", "hall__slug")
    )
    return next((halls[tag] for tag in tags if tag in halls), "")


def asset_name(tag: str) -> str:
    """The asset's name, or its tag when it has none."""
    return Asset.objects.filter(tag=tag).values_list("name", flat=True).first() or tag


def latest_measured(*, tags: Iterable[str] | None = None) -> dict[str, Measured]:
    """Latest values by tag (None: all), without those the quality tests failed: they are no basis
    for an action.
    """
    return {
        tag: Measured(v.value, v.ts, v.unit)
        for tag, v in selectors.latest_values(tags=tags).items()
        if v.quality not in (Quality.FAIL, Quality.MISSING)
    }


def measured_at(snapshot: selectors.Snapshot) -> dict[str, Measured]:
    """Values of a snapshot, without those the quality tests failed."""
    return {
        tag: Measured(v.value, v.ts, v.unit)
        for tag, v in snapshot.values.items()
        if v.quality not in (Quality.FAIL, Quality.MISSING)
    }


def situation_read(
    *,
    hall: str,
    alarm: Alarm | None = None,
    snapshot: selectors.Snapshot | None = None,
    procedures: bool = False,
) -> Situation:
    """One hall and the plant that serves it, at the time of `snapshot` (None: latest values).

    `alarm` sets the subject; `procedures`: with the procedures in force.
    """
    rows = _Rows(latest_measured() if snapshot is None else measured_at(snapshot), hall)
    limits = {
        tag: Limits(low, high, unit)
        for tag, low, high, unit in Point.objects.filter(writable=True).values_list(
            "tag", "write_min", "write_max", "unit"
        )
        if low is not None and high is not None
    }
    subject = alarm.point.asset if alarm else None
    return Situation(
        hall=hall,
        values=rows.values,
        limits=limits,
        units=tuple(rows.unit(tag) for tag in rows.of("crac")),
        racks=tuple(rows.rack(tag) for tag in rows.of("rack") if f"{tag}.inlet_c" in rows.values),
        chillers=rows.of("chiller", anywhere=True),
        pumps=rows.of("pump", anywhere=True),
        subject=subject.tag if subject else "",
        subject_kind=subject.kind if subject else "",
        subject_rack=rows.rack_of(subject.tag) if subject else "",
        quantity=alarm.point.quantity if alarm else "",
        window_s=float(settings.EFFECT_WINDOW_S),
        machines=tuple(
            rows.machine(tag) for kind in MACHINES for tag in rows.of(kind, anywhere=True)
        ),
        upss=tuple(rows.ups(tag) for tag in rows.of("ups", anywhere=True)),
        servers=rows.servers(),
        gpus=tuple(rows.gpu(tag) for tag in rows.of("gpu")),
        links=tuple(rows.link(tag) for tag in rows.of("link")),
        jobs=tuple(rows.job(tag) for tag in rows.of("job", anywhere=True)),
        assets=rows.assets,
        connections=_connections(),
        procedures=procedures_in_force() if procedures else (),
    )


def _connections() -> tuple[Connection, ...]:
    rows = AssetLink.objects.order_by("kind", "source__tag", "target__tag")
    return tuple(Connection(*row) for row in rows.values_list("kind", "source__tag", "target__tag"))


class _Rows:
    """The assets with their nameplates and latest values, as the situation's own types."""

    def __init__(self, values: Mapping[str, Measured], hall: str) -> None:
        self.values = values
        self.hall = hall
        self.assets: dict[str, Place] = {}
        self.plates: dict[str, dict[str, Any]] = {}
        self.gpus: dict[str, list[str]] = {}
        for tag, name, kind, rack, own, around, parent, plate in Asset.objects.order_by(
            "tag"
        ).values_list(
            "tag", "name", "kind", "rack__tag", "hall__slug", "rack__hall__slug", "parent__tag",
            "attributes",
        ):  # fmt: skip
            self.assets[tag] = Place(name, kind, rack or "", own or around or "", parent or "")
            self.plates[tag] = plate
            if kind == "gpu" and parent:
                self.gpus.setdefault(parent, []).append(tag)

    def of(self, kind: str, *, anywhere: bool = False) -> tuple[str, ...]:
        """Assets of a kind, by tag; of this hall, or of the whole site."""
        return tuple(
            tag
            for tag, place in self.assets.items()
            if place.kind == kind and (anywhere or place.hall == self.hall != "")
        )

    def value(self, tag: str, quantity: str, default: float = 0.0) -> float:
        measured = self.values.get(f"{tag}.{quantity}")
        return default if measured is None else measured.value

    def plate(self, tag: str, name: str) -> float:
        """A nameplate figure; 0 where it says none, or no number."""
        found = self.plates[tag].get(name)
        return float(found) if isinstance(found, int | float) else 0.0

    def name(self, tag: str) -> str:
        return self.assets[tag].name

    def rack_of(self, tag: str) -> str:
        """The rack an alarm is about: the asset itself, or that it or its parent stands in."""
        place = self.assets[tag]
        if place.kind == "rack":
            return tag
        return place.rack or (self.assets[place.parent].rack if place.parent else "")

    def unit(self, tag: str) -> CoolingUnit:
        return CoolingUnit(
            tag=tag,
            name=self.name(tag),
            sensible_w=self.plate(tag, "sensible_w"),
            airflow_m3s=self.plate(tag, "airflow_m3s"),
            running=self.value(tag, "running") >= 1,
            fault=self.value(tag, "fault") >= 1,
            commanded=self.value(tag, "run_cmd") >= 1,
            fan_sp_pct=self.value(tag, "fan_speed_sp_pct"),
            supply_sp_c=self.value(tag, "supply_sp_c"),
        )

    def rack(self, tag: str) -> RackState:
        return RackState(
            tag=tag,
            name=self.name(tag),
            inlet_c=self.value(tag, "inlet_c"),
            power_w=self.value(tag, "power_w"),
            load_cap_pct=self.value(tag, "load_cap_pct", 100.0),
        )

    def machine(self, tag: str) -> Machine:
        return Machine(
            tag=tag,
            name=self.name(tag),
            kind=self.assets[tag].kind,
            capacity_w=self.plate(tag, "cooling_w") or self.plate(tag, "heat_w"),
            running=self.value(tag, "running") >= 1,
            fault=self.value(tag, "fault") >= 1,
            commanded=self.value(tag, "run_cmd") >= 1,
        )

    def ups(self, tag: str) -> UpsState:
        return UpsState(
            tag=tag,
            name=self.name(tag),
            rated_w=self.plate(tag, "rated_w"),
            load_w=self.value(tag, "load_w"),
            load_pct=self.value(tag, "load_pct"),
            on_battery=self.value(tag, "on_battery") >= 1,
            bypass=self.value(tag, "bypass") >= 1,
        )

    def servers(self) -> tuple[ServerState, ...]:
        return tuple(
            ServerState(
                tag=tag,
                name=self.name(tag),
                rack=self.assets[tag].rack,
                power_w=self.value(tag, "power_w"),
                in_service=self.value(tag, "in_service", 1.0) >= 1,
                cordoned=self.value(tag, "cordoned") >= 1,
                gpus=tuple(self.gpus.get(tag, ())),
            )
            for tag in self.of("server")
        )

    def gpu(self, tag: str) -> GpuState:
        most_w = self.plate(tag, "max_w")
        return GpuState(
            tag=tag,
            name=self.name(tag),
            server=self.assets[tag].parent,
            rack=self.assets[tag].rack,
            max_w=most_w,
            limit_w=self.value(tag, "power_limit_w", most_w),
            power_w=self.value(tag, "power_w"),
            temp_c=self.value(tag, "temp_c"),
            util_pct=self.value(tag, "util_pct"),
            xid=self.value(tag, "xid"),
        )

    def link(self, tag: str) -> LinkState:
        plate = self.plates[tag]
        return LinkState(
            tag=tag,
            name=self.name(tag),
            ends=(str(plate.get("from", "")), str(plate.get("to", ""))),
            up=self.value(tag, "up", 1.0) >= 1,
            enabled=self.value(tag, "enabled", 1.0) >= 1,
            util_pct=self.value(tag, "util_pct"),
            error_rate=self.value(tag, "error_rate"),
        )

    def job(self, tag: str) -> JobState:
        servers = self.plates[tag].get("servers") or []
        return JobState(
            tag=tag,
            name=self.name(tag),
            kind=str(self.plates[tag].get("kind", "")),
            servers=tuple(str(server) for server in servers),
            running=self.value(tag, "running") >= 1,
        )
