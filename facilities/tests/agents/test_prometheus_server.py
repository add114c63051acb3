"""A real Prometheus server with remote_write, and a real Alertmanager, against the real server."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge, start_http_server

from facilities.models import Reading
from facilities.models.converter import SourceSeries
from facilities.tests.agents.conftest import Server, free_port, program, stored, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
Spawn = Callable[..., subprocess.Popen[bytes]]

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: rack
    static_configs: [{{targets: ["127.0.0.1:{exporter}"]}}]
remote_write:
  - url: {url}/api/v1/prometheus/write
    authorization: {{type: Bearer, credentials: {token}}}
    queue_config: {{batch_send_deadline: 200ms, min_backoff: 100ms, max_backoff: 300ms, min_shards: 1}}
    metadata_config: {{send_interval: 1s}}
"""


def page(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def figure(text: str, name: str) -> float:
    found = re.findall(rf"^{name}(?:{{[^}}]*}})? ([-+.e0-9]+)$", text, re.MULTILINE)
    return sum(map(float, found))


def test_it_takes_what_prometheus_scrapes_also_from_before_it_was_there(
    server: Server, agent_token: str, spawn: Spawn, tmp_path: Path
) -> None:
    binary = program("prometheus", "prometheus")
    registry = CollectorRegistry()
    inlet = Gauge("rack_inlet_celsius", "Inlet", ["rack"], registry=registry)
    inlet.labels("a").set(23.5)
    exporter = free_port()
    web, thread = start_http_server(exporter, "127.0.0.1", registry)
    config = tmp_path / "prometheus.yml"
    config.write_text(CONFIG.format(exporter=exporter, url=server.url, token=agent_token))
    port = free_port()
    spawn(
        binary,
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    own = f"http://127.0.0.1:{port}/metrics"
    try:
        # Prometheus scrapes while nobody is there to write to: it has to keep and repeat.
        until(
            lambda: figure(page(own), "prometheus_remote_storage_samples_retried_total"), "a retry"
        )
        began = datetime.now(UTC)
        server.start()
        key = f'rack_inlet_celsius{{instance="127.0.0.1:{exporter}",job="rack",rack="a"}}'
        until(lambda: stored(key), "the first sample")
        point_id = SourceSeries.objects.get(key=key).point_id
        assert Reading.objects.filter(point_id=point_id, ts__lt=began).exists()
        inlet.labels("a").set(31.0)
        until(lambda: stored(key)[-1] == 31.0, "the changed value")
        assert stored(key)[0] == 23.5
        said = page(own)
        for name in ("samples_failed_total", "samples_dropped_total", "metadata_failed_total"):
            assert figure(said, f"prometheus_remote_storage_{name}") == 0, name
        assert figure(said, "prometheus_remote_storage_metadata_total") > 0
        # The exporter goes away: Prometheus marks its series stale, which is no value of them.
        web.shutdown()
        web.server_close()
        thread.join(5)
        up = f'up{{instance="127.0.0.1:{exporter}",job="rack"}}'
        until(lambda: stored(up)[-1:] == [0.0], "the failed scrape")
        assert set(stored(key)) == {23.5, 31.0}
        assert figure(page(own), "prometheus_remote_storage_samples_failed_total") == 0
    finally:
        web.shutdown()


ALERTMANAGER = """
route: {{receiver: holdpoint, group_wait: 0s, group_interval: 1s, group_by: ["..."]}}
receivers:
  - name: holdpoint
    webhook_configs:
      - url: {url}/api/v1/alertmanager
        send_resolved: true
        http_config: {{authorization: {{type: Token, credentials: {token}}}}}
"""


def test_it_takes_alerts_as_they_fire_and_resolve(
    running: Server, agent_token: str, spawn: Spawn, tmp_path: Path
) -> None:
    binary = program("prometheus-alertmanager", "prometheus-alertmanager")
    config = tmp_path / "alertmanager.yml"
    config.write_text(ALERTMANAGER.format(url=running.url, token=agent_token))
    port = free_port()
    spawn(
        binary,
        f"--config.file={config}",
        f"--storage.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    )
    url = f"http://127.0.0.1:{port}"
    until(lambda: "OK" in page(f"{url}/-/ready"), "Alertmanager starts")
    start = datetime.now(UTC) - timedelta(seconds=30)

    def post(**more: str) -> None:
        alert = {"labels": {"alertname": "Hot", "rack": "a"}, "startsAt": start.isoformat(), **more}
        request = urllib.request.Request(
            f"{url}/api/v2/alerts",
            data=json.dumps([alert]).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.status == 200

    key = 'ALERTS{alertname="Hot",rack="a"}'
    post()
    until(lambda: stored(key) == [1.0], "the firing alert")
    post(endsAt=datetime.now(UTC).isoformat())
    until(lambda: stored(key) == [1.0, 0.0], "the resolved alert")
    time.sleep(0.1)
    assert stored(key) == [1.0, 0.0]
