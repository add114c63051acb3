"""A demo site in which every point has a reading, and situations of it with other values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.utils import timezone

from approvals.catalogue.situation import Measured, Situation
from approvals.situations import situation_read
from facilities.models import Asset, LatestReading, Point
from facilities.snapshots import Snapshot, SnapshotValue

# Values of a healthy site by (kind, quantity); what is not here reads 0.
HEALTHY: dict[tuple[str, str], float] = {
    ("hall", "it_power_w"): 165_000.0,
    ("rack", "inlet_c"): 22.5,
    ("rack", "power_w"): 9_000.0,
    ("rack", "load_cap_pct"): 100.0,
    ("crac", "fan_speed_sp_pct"): 70.0,
    ("crac", "supply_sp_c"): 18.0,
    ("crac", "damper_pct"): 100.0,
    ("chiller", "supply_sp_c"): 10.0,
    ("chiller", "supply_c"): 10.1,
    ("cdu", "supply_sp_c"): 32.0,
    ("cdu", "pump_speed_sp_pct"): 70.0,
    ("cdu", "supply_c"): 32.0,
    ("tower", "leaving_sp_c"): 24.0,
    ("tower", "leaving_c"): 24.2,
    ("utility", "available"): 1.0,
    ("ups", "load_w"): 85_000.0,
    ("ups", "input_v"): 400.0,
    ("ups", "load_pct"): 28.0,
    ("ups", "battery_pct"): 100.0,
    ("pdu", "breaker_closed"): 1.0,
    ("server", "power_w"): 5_600.0,
    ("server", "in_service"): 1.0,
    ("gpu", "power_limit_w"): 700.0,
    ("gpu", "power_w"): 575.0,
    ("gpu", "temp_c"): 66.0,
    ("gpu", "util_pct"): 80.0,
    ("link", "up"): 1.0,
    ("link", "enabled"): 1.0,
    ("link", "util_pct"): 38.0,
    ("link", "error_rate"): 0.1,
    ("job", "running"): 1.0,
    ("job", "throughput_pct"): 99.0,
}
RUNNING = ("crac-1", "crac-2", "crac-3", "chiller-1", "chwp-1", "cdu-1", "tower-1")
CRAC_2_DOWN = {"crac-2.running": 0.0, "crac-2.fault": 1.0}
XID = {"srv-11-gpu-2.xid": 79.0, "srv-11-gpu-2.util_pct": 0.0}
DRAINED = {
    "srv-11.in_service": 0.0,
    **{f"srv-11-gpu-{n}.util_pct": 0.0 for n in range(8)},
}


def healthy_values() -> dict[str, float]:
    """A value for every point of the demo site. One query."""
    values = {
        tag: HEALTHY.get((kind, quantity), 0.0)
        for tag, kind, quantity in Point.objects.values_list("tag", "asset__kind", "quantity")
    }
    for tag in RUNNING:
        values[f"{tag}.running"] = values[f"{tag}.run_cmd"] = 1.0
    values["chwp-1.flow_lps"], values["chiller-1.load_pct"] = 12.0, 66.0
    for n in (3, 4):
        values[f"rack-1-0{n}.power_w"] = values[f"rack-2-0{n}.power_w"] = 26_000.0
    return values


class Site:
    """The demo site, read once; `situation` answers with other values in no time and no query."""

    def __init__(self) -> None:
        self.points = {
            tag: (asset, quantity, unit)
            for tag, asset, quantity, unit in Point.objects.values_list(
                "tag", "asset__tag", "quantity", "unit"
            )
        }
        self.kinds = dict(Asset.objects.values_list("tag", "kind"))
        self.healthy = healthy_values()

    def snapshot(self, changes: Mapping[str, float | None]) -> Snapshot:
        """All points as of now; None takes a point's reading away."""
        now = timezone.now()
        values = {
            tag: SnapshotValue(tag, *self.points[tag], now, value, 1, 0.0, False)
            for tag, value in {**self.healthy, **changes}.items()
            if value is not None
        }
        return Snapshot(at=now, mode="latest", complete=True, waited_s=0.0, values=values,
                        barrier=None)  # fmt: skip

    def situation(
        self,
        changes: Mapping[str, float | None] | None = None,
        *,
        alarm: str = "",
        procedures: bool = False,
    ) -> Situation:
        """The hall with these values; `alarm` is the point that an alarm is on for. Four queries."""
        read = situation_read(
            hall="hall-1", snapshot=self.snapshot(changes or {}), procedures=procedures
        )
        if not alarm:
            return read
        asset, _, quantity = alarm.rpartition(".")
        place = read.assets[asset]
        rack = asset if place.kind == "rack" else place.rack
        return replace(
            read, subject=asset, subject_kind=place.kind, subject_rack=rack, quantity=quantity
        )


def with_values(situation: Situation, changes: Mapping[str, float]) -> dict[str, Measured]:
    """The situation's readings after these writes."""
    return {
        **situation.values,
        **{
            tag: situation.values[tag]._replace(value=value)
            for tag, value in changes.items()
            if tag in situation.values
        },
    }


def params_for(schema: Mapping[str, Any], pick: Any) -> dict[str, Any]:
    """Parameters that fit a schema; `pick(number of choices)` chooses."""
    made: dict[str, Any] = {}
    for name, one in schema["properties"].items():
        if one["type"] == "number":
            span = one["maximum"] - one["minimum"]
            made[name] = one["minimum"] + span * pick(11) / 10
        elif one["type"] == "array":
            options = one["items"]["enum"]
            made[name] = options[: 1 + pick(len(options))]
        elif "enum" in one:
            made[name] = one["enum"][pick(len(one["enum"]))]
        elif one["type"] == "integer":
            made[name] = one["x-values"][made["document"]]
        elif name in schema["required"]:
            made[name] = "Look after it"
    return made


def store_values(changes: Mapping[str, float]) -> None:
    """Make these, on a healthy site, the latest readings as of now. Four queries."""
    now = timezone.now()
    wanted = {**healthy_values(), **changes}
    LatestReading.objects.update(ts=now, received_at=now)
    stored = dict(LatestReading.objects.values_list("point__tag", "value"))
    ids = dict(Point.objects.values_list("tag", "pk"))
    LatestReading.objects.bulk_create(
        [
            LatestReading(point_id=ids[tag], ts=now, value=value, received_at=now)
            for tag, value in wanted.items()
            if stored.get(tag) != value
        ],
        update_conflicts=True,
        unique_fields=["point"],
        update_fields=["ts", "value", "received_at"],
    )


# One action of each kind that somebody may ask for, with the state of the site in which it may be
# taken: (kind, target, parameters, changes).
EXAMPLES: tuple[tuple[str, str, dict[str, Any], dict[str, float]], ...] = (
    ("start_standby_crac", "crac-4", {}, CRAC_2_DOWN),
    ("set_fan_speed", "crac-1", {"fan_speed_pct": 85}, {}),
    ("set_supply_setpoint", "crac-1", {"supply_c": 16.5}, {}),
    ("shed_rack_load", "rack-1-03", {"load_cap_pct": 60}, {}),
    ("restore_rack_load", "rack-1-03", {"load_cap_pct": 80}, {"rack-1-03.load_cap_pct": 60.0}),
    ("migrate_rack_load", "rack-1-03", {"servers": ["srv-01", "srv-02"]}, {}),
    ("start_standby_unit", "chwp-2", {}, {"chwp-1.running": 0.0, "chwp-1.fault": 1.0}),
    ("stop_unit", "crac-1", {}, {"hall-1.it_power_w": 100_000.0}),
    ("set_chilled_water_setpoint", "chiller-1", {"chilled_water_c": 9}, {}),
    ("set_damper", "crac-2", {"damper_pct": 0}, CRAC_2_DOWN),
    ("transfer_ups_to_bypass", "ups-a", {}, {}),
    ("return_ups_from_bypass", "ups-a", {}, {"ups-a.bypass": 1.0}),
    ("set_gpu_power_cap", "srv-05-gpu-3", {"power_limit_w": 500}, {}),
    ("drain_node", "srv-11", {}, XID),
    ("return_node", "srv-11", {}, DRAINED),
    ("cordon_node", "srv-11", {}, XID),
    ("uncordon_node", "srv-11", {}, {"srv-11.cordoned": 1.0}),
    ("reset_node", "srv-11", {}, {**XID, **DRAINED}),
    ("disable_link", "link-leaf-2-spine-1", {}, {"link-leaf-2-spine-1.error_rate": 40.0}),
    ("enable_link", "link-leaf-2-spine-1", {}, {"link-leaf-2-spine-1.enabled": 0.0}),
    (
        "open_work_order",
        "crac-3",
        {"title": "Replace the filters", "text": "300 Pa", "priority": "medium"},
        {},
    ),
    ("run_procedure", "chwp-1", {"document": "mop-chw-03", "revision": 1}, {}),
)
