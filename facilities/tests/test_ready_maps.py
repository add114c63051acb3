"""Ready maps against messages in the shapes that the agents send (``messages/``)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from facilities.converters import convert_current
from facilities.converters.maps import ready_maps
from facilities.ingest.formats import alertmanager, line_protocol, redfish
from facilities.ingest.samples import Samples, samples_of
from facilities.models import Converter, Point, Source
from facilities.services.sources import source_create

pytestmark = pytest.mark.django_db
MESSAGES = Path(__file__).parent / "messages"
NOW_US = 1_772_366_500_000_000


class Sender(NamedTuple):
    source_id: int
    auto_register: bool


def message(name: str) -> Samples:
    body = (MESSAGES / name).read_bytes()
    decode = {"lp": line_protocol.decode}.get(
        name.rsplit(".", 1)[1],
        alertmanager.decode if name.startswith("alertmanager") else redfish.decode,
    )
    kind = "text/plain" if name.endswith(".lp") else "application/json"
    return decode(body, kind, {}, {}, NOW_US, 10_000_000)


def taken(map_name: str, samples: Samples, *, register: bool) -> tuple[dict[str, float], list]:
    source: Source = source_create(name=map_name, auto_register=register).source
    Converter.objects.create(source=source, document=f"use: [{map_name}]")
    columns, batch = convert_current(Sender(source.pk, register), samples)
    return {
        columns.tags[row]: value for row, value in zip(batch.row, batch.value, strict=True)
    }, batch.rejected


CASES: list[tuple[str, str, dict[str, float]]] = [
    (
        "telegraf_redfish",
        "telegraf_redfish.lp",
        {"srv-01.inlet_c": 23.5, "srv-02.inlet_c": 22.9, "srv-01.power_w": 6342},
    ),
    ("telegraf_ipmi_sensor", "telegraf_ipmi_sensor.lp", {"srv-02.inlet_c": 22}),
    (
        "telegraf_modbus",
        "telegraf_modbus.lp",
        {
            "crac-1.supply_c": 18.1,
            "crac-1.running": 1,
            "pdu-a1.breaker_closed": 1,
            "chiller-1.return_c": 15.1,
        },
    ),
    ("telegraf_snmp", "telegraf_snmp.lp", {"ups-a.load_pct": 43, "rack-1-01.inlet_c": 22.4}),
    ("telegraf_upsd", "telegraf_upsd.lp", {"ups-a.load_pct": 9.7, "ups-b.load_pct": 44.1}),
    (
        "telegraf_nvidia_smi",
        "telegraf_nvidia_smi.lp",
        {"srv-01-gpu-0.temp_c": 63, "srv-01-gpu-1.power_w": 77.02},
    ),
    (
        "dcgm_exporter",
        "telegraf_prometheus_dcgm.lp",
        {"srv-01-gpu-0.temp_c": 63, "srv-01-gpu-0.util_pct": 97},
    ),
    ("redfish_metric_report", "redfish_metric_report.json", {"srv-01.power_w": 6342}),
]


def test_it_maps_onto_the_demo_facilitys_points(demo_facility):
    for map_name, file, expected in CASES:
        values, _ = taken(map_name, message(file), register=False)
        found = {tag: values.get(tag) for tag in expected}
        assert found == pytest.approx(expected), map_name


def test_it_leaves_nothing_of_its_agents_messages_unexplained(demo_facility):
    """With registration on, every series is a point, dropped, or a text without a number."""
    files = {
        "dcgm_exporter": "telegraf_prometheus_dcgm.lp",
        "alertmanager": "alertmanager.json",
        "redfish_metric_report": "redfish_metric_report.json",
    }
    for map_name in sorted(ready_maps()):
        file = files.get(map_name, f"{map_name}.lp")
        _, rejected = taken(map_name, message(file), register=True)
        assert [r for r in rejected if r.code != "bad_value"] == [], map_name
    for point in Point.objects.filter(auto_registered=True).select_related("asset"):
        point.full_clean()


def test_it_takes_dcgm_as_prometheus_writes_it(demo_facility):
    body = (MESSAGES / "dcgm_exporter.prom").read_text()
    lines = [line.rsplit(" ", 1) for line in body.splitlines() if not line.startswith("#")]
    samples = samples_of([(key, NOW_US, float(value)) for key, value in lines])
    values, rejected = taken("dcgm_exporter", samples, register=True)
    assert values["srv-01-gpu-0.temp_c"] == 63
    assert values["srv-01-gpu-0.graphics_active_pct"] == pytest.approx(96.3)
    assert rejected == []


def test_it_makes_alerts_points_of_their_assets(demo_facility):
    values, _ = taken("alertmanager", message("alertmanager.json"), register=True)
    assert values == {
        "srv-01-gpu-0.alert_gpu_thermal_throttle": 1.0,
        "srv-02.alert_fan_stopped": 0.0,
    }


def test_it_turns_energy_into_power_and_octets_into_rates(demo_facility):
    source = source_create(name="rates", auto_register=True).source
    Converter.objects.create(source=source, document="use: [dcgm_exporter, telegraf_snmp]")
    sender = Sender(source.pk, True)
    energy = 'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{Hostname="srv-01",gpu="0"}'
    octets = 'interface.ifHCInOctets{ifDescr="Ethernet1/1",source="leaf-1"}'
    found = {}
    for second in (0, 10):
        samples = samples_of(
            [
                (energy, NOW_US + second * 1_000_000, 600_000.0 * second),  # 600 W in mJ
                (octets, NOW_US + second * 1_000_000, 1_000.0 * second),
            ]
        )
        columns, batch = convert_current(sender, samples)
        found = {columns.tags[r]: v for r, v in zip(batch.row, batch.value, strict=True)}
    assert found["srv-01-gpu-0.mean_power_w"] == pytest.approx(600.0)
    assert found["leaf-1.ethernet1_1_in_by_s"] == pytest.approx(1000.0)
