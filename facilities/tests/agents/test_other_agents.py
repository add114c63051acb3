"""Agents that cannot run here, by their messages over real HTTP: what they hear decides whether
data is kept, sent again or lost."""

from __future__ import annotations

import gzip
import json
import urllib.error
import urllib.request
from datetime import UTC, datetime

import pytest
from google.rpc.status_pb2 import Status

from facilities.ingest.formats.keys import series_key
from facilities.models import Converter, Reading
from facilities.models.quarantine import QuarantinedItem
from facilities.services.sources import source_create
from facilities.tests.agents.conftest import Server, stored
from facilities.tests.formats.helpers import MESSAGES
from facilities.tests.formats.test_otlp import export, gauge
from facilities.tests.formats.test_remote_write import V1, V2, snappy, v1, v2

pytestmark = pytest.mark.django_db(transaction=True)


class Agent:
    """Posts to one address with one token; ``headers`` as the last answer had them."""

    def __init__(self, server: Server, token: str, path: str, content_type: str) -> None:
        self.url, self.token, self.content_type = f"{server.url}{path}", token, content_type
        self.headers: dict[str, str] = {}
        self.body = b""

    def post(self, body: bytes, **more: str) -> int:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": self.content_type}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        request = urllib.request.Request(self.url, data=body, headers=headers, method="POST")
        try:
            answer = urllib.request.urlopen(request, timeout=10)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            self.headers = {name.lower(): value for name, value in answer.headers.items()}
            self.body = answer.read()
            return int(answer.status)


def now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)


def test_it_takes_remote_write_2_0_and_counts_what_is_written(
    running: Server, agent_token: str
) -> None:
    agent = Agent(running, agent_token, "/api/v1/prometheus/write", V2)
    labels = {"__name__": "gpu_temp", "gpu": "0"}
    old = now_ms() - 10 * 365 * 86_400_000
    body = snappy(v2((labels, [(61.0, now_ms())])))
    more = {"Content_Encoding": "snappy", "X_Prometheus_Remote_Write_Version": "2.0.0"}
    assert agent.post(body, **more) == 204
    assert agent.headers["x-prometheus-remote-write-samples-written"] == "1"
    assert agent.post(snappy(v2((labels, [(1.0, old), (62.0, now_ms())]))), **more) == 400
    assert agent.headers["x-prometheus-remote-write-samples-written"] == "1"
    assert agent.headers["x-prometheus-remote-write-histograms-written"] == "0"
    assert stored('gpu_temp{gpu="0"}') == [61.0, 62.0]
    assert agent.post(body, Content_Encoding="gzip") == 415


def test_it_takes_a_bmcs_report_and_alert_with_the_token_in_the_address(
    running: Server, agent_token: str
) -> None:
    agent = Agent(running, "", f"/api/v1/redfish/events?token={agent_token}", "application/json")
    text = (MESSAGES / "redfish_metric_report.json").read_text()
    stamp = datetime.now(UTC).isoformat()
    text = text.replace("2026-03-01T12:00:00-06:00", stamp)
    text = text.replace("2026-03-01T12:00:05-06:00", stamp)
    assert agent.post(text.encode(), Authorization="") == 200
    said = json.loads(agent.body)
    assert said["accepted"] == 3
    # The power state is a text that nothing maps yet: it waits in the quarantine.
    assert [item["index"] for item in said["rejected"]] == [2]
    assert QuarantinedItem.objects.get().raw.split(" ")[-2] == "On"
    key = series_key(
        "redfish",
        {
            "context": "srv-01",
            "metric": "InletTemp",
            "property": "/redfish/v1/Chassis/System.Embedded.1/Thermal#/Temperatures/2/ReadingCelsius",
            "report": "PowerMetrics",
        }.items(),
    )
    assert stored(key) == [23.5]


@pytest.mark.parametrize(
    "plugin", ["redfish", "ipmi_sensor", "snmp", "modbus", "upsd", "nvidia_smi"]
)
def test_it_takes_telegrafs_batch_whole_with_the_ready_map(running: Server, plugin: str) -> None:
    """Any refusal would be 400, at which Telegraf drops the batch and complains with each flush."""
    issued = source_create(name=plugin, auto_register=True)
    Converter.objects.create(source=issued.source, document=f"use: [telegraf_{plugin}]")
    text = (MESSAGES / f"telegraf_{plugin}.lp").read_text()
    body = gzip.compress(text.replace("1772366400000", str(now_ms())).encode())
    agent = Agent(
        running, issued.token, "/api/v2/write?org=o&bucket=b", "text/plain; charset=utf-8"
    )
    assert agent.post(body, Content_Encoding="gzip") == 204, agent.body
    assert Reading.objects.count() > 3
    assert not QuarantinedItem.objects.exists()


def test_it_answers_otlp_json_in_json_and_errors_as_status(
    running: Server, agent_token: str
) -> None:
    agent = Agent(running, agent_token, "/v1/metrics", "application/json")
    point = {"asDouble": 22.5, "timeUnixNano": str(now_ms() * 10**6)}
    assert agent.post(json.dumps(export(gauge("room", point))).encode()) == 200
    assert json.loads(agent.body) == {}
    assert stored("room") == [22.5]
    stranger = Agent(running, "hp_wrong", "/v1/metrics", "application/x-protobuf")
    assert stranger.post(b"") == 401
    assert Status.FromString(stranger.body).code == 16


def test_it_makes_every_agent_keep_its_batch_when_the_source_is_too_fast(running: Server) -> None:
    token = source_create(name="fast", auto_register=True, max_readings_per_s=1).token
    line = b"\n".join(f"a f={n} {now_ms() + n}000000".encode() for n in range(200))
    write = [(float(n), now_ms() + n) for n in range(200)]
    points = [{"asDouble": float(n), "timeUnixNano": f"{now_ms() + n}000000"} for n in range(200)]
    cases = [
        ("/api/v2/write", "text/plain", line, 429),
        ("/write", "text/plain", line, 503),
        ("/api/v1/prometheus/write", V1, snappy(v1(({"__name__": "a"}, write))), 503),
        ("/v1/metrics", "application/json", json.dumps(export(gauge("a", *points))).encode(), 429),
    ]
    for path, content_type, body, status in cases:
        agent = Agent(running, token, path, content_type)
        seen = {agent.post(body) for _ in range(3)}
        assert status in seen, path
        agent.post(body)
        assert int(agent.headers["retry-after"]) >= 1, path


def test_it_takes_a_repeated_batch_once_whatever_the_format(
    running: Server, agent_token: str
) -> None:
    stamp = now_ms()
    alert = {
        "labels": {"alertname": "A"},
        "status": "firing",
        "startsAt": datetime.now(UTC).isoformat(),
    }
    cases = [
        ("/api/v2/write", "text/plain", f"a f=1 {stamp}000000".encode()),
        ("/write", "text/plain", f"b f=1 {stamp}000000".encode()),
        ("/api/v1/prometheus/write", V1, snappy(v1(({"__name__": "c"}, [(1.0, stamp)])))),
        (
            "/v1/metrics",
            "application/json",
            json.dumps(
                export(gauge("d", {"asInt": "1", "timeUnixNano": f"{stamp}000000"}))
            ).encode(),
        ),
        (
            "/api/v1/alertmanager",
            "application/json",
            json.dumps({"version": "4", "alerts": [alert]}).encode(),
        ),
        (
            "/api/v1/redfish/events",
            "application/json",
            json.dumps(
                {"Events": [{"MessageId": "m", "EventTimestamp": datetime.now(UTC).isoformat()}]}
            ).encode(),
        ),
    ]
    for path, content_type, body in cases:
        agent = Agent(running, agent_token, path, content_type)
        assert {agent.post(body) for _ in range(3)} <= {200, 204}, path
    assert Reading.objects.count() == len(cases)
