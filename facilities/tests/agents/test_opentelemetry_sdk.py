"""The real OpenTelemetry SDK and its OTLP/HTTP exporter against the real server."""

from __future__ import annotations

import logging

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from facilities.models.quarantine import QuarantinedItem
from facilities.services.sources import source_create
from facilities.tests.agents.conftest import Server, stored

pytestmark = pytest.mark.django_db(transaction=True)


def provider(
    server: Server, token: str, compression: Compression = Compression.Gzip
) -> MeterProvider:
    exporter = OTLPMetricExporter(
        endpoint=f"{server.url}/v1/metrics",
        headers={"authorization": f"Bearer {token}"},
        compression=compression,
        timeout=10,
    )
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    return MeterProvider([reader], resource=Resource.create({"service.name": "bms", "rack": "a"}))


@pytest.mark.parametrize(
    "compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate]
)
def test_it_takes_every_instrument(
    running: Server, agent_token: str, compression: Compression
) -> None:
    metrics = provider(running, agent_token, compression)
    meter = metrics.get_meter("test")

    def inlet(_: CallbackOptions) -> list[Observation]:
        return [Observation(23.5, {"side": "front"}), Observation(24.5, {"side": "back"})]

    meter.create_observable_gauge("air.inlet", [inlet], unit="Cel")
    meter.create_counter("energy", unit="J").add(7)
    meter.create_up_down_counter("jobs").add(-3)
    meter.create_histogram("latency", unit="s").record(0.25)
    assert metrics.force_flush()
    metrics.shutdown()  # exports once more
    about = 'rack="a",service.name="bms"'
    assert stored('air.inlet{rack="a",service.name="bms",side="front"}') == [23.5, 23.5]
    assert stored('air.inlet{rack="a",service.name="bms",side="back"}') == [24.5, 24.5]
    assert stored(f"jobs{{{about}}}")[-1] == -3.0
    assert stored(f"latency_sum{{{about}}}")[-1] == 0.25
    assert stored(f"latency_count{{{about}}}")[-1] == 1.0


def test_it_reports_a_partial_success_that_the_exporter_does_not_repeat(
    running: Server, caplog: pytest.LogCaptureFixture
) -> None:
    token = source_create(name="strict").token  # unknown series stay unknown
    metrics = provider(running, token)
    metrics.get_meter("test").create_gauge("nobody.knows").set(1)
    with caplog.at_level(logging.WARNING):
        assert metrics.force_flush()
    assert set(QuarantinedItem.objects.values_list("code", flat=True)) == {"unknown_point"}
    before = QuarantinedItem.objects.count()
    metrics.shutdown()
    assert QuarantinedItem.objects.count() <= before + 1


def test_it_refuses_a_wrong_token_so_that_the_exporter_gives_up(
    running: Server, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = provider(running, "hp_wrong")
    metrics.get_meter("test").create_gauge("x").set(1)
    with caplog.at_level(logging.ERROR):
        metrics.force_flush()
        metrics.shutdown()
    assert "401" in caplog.text
