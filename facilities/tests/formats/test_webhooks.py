"""Redfish and Alertmanager: what the bodies mean, and that one bad item costs no other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from facilities.ingest.errors import IngestError
from facilities.ingest.formats.keys import series_key, split_key
from facilities.tests.formats.helpers import (
    BY_NAME,
    MESSAGES,
    NOW_US,
    answered,
    decoded,
    listed,
    parsed,
    refusal,
    refused,
)

JSON = "application/json"
T = "2026-03-01T12:00:00Z"


def report(*values: Any, **more: Any) -> bytes:
    data = {
        "@odata.type": "#MetricReport.v1_5_2.MetricReport",
        "Id": "r1",
        "Timestamp": T,
        "MetricValues": list(values),
    }
    return json.dumps({**data, **more}).encode()


def test_it_reads_a_metric_report_whose_values_are_text() -> None:
    samples = decoded("redfish", (MESSAGES / "redfish_metric_report.json").read_bytes(), JSON)
    keys = [split_key(name) for name, _, _ in listed(samples)]
    assert {name for name, _ in keys} == {"redfish"}
    assert keys[0][1] == {
        "context": "srv-01",
        "metric": "SystemPowerConsumption",
        "property": "/redfish/v1/Chassis/System.Embedded.1/Power#/PowerControl/0/PowerConsumedWatts",
        "report": "PowerMetrics",
    }
    assert [value for _, _, value in listed(samples)] == [6342.0, 23.5, "On", 9120.0]
    six_hours = 6 * 3_600_000_000
    # The last value has no time of its own: the report's counts.
    assert (samples.ts_us - NOW_US).tolist() == [six_hours] * 3 + [six_hours + 5_000_000]


def test_it_tells_dells_sensors_of_one_metric_apart() -> None:
    values = [
        {
            "MetricId": "TemperatureReading",
            "MetricValue": "31",
            "Oem": {"Dell": {"FQDD": f"iDRAC.Embedded.1#CPU{n}Temp"}},
        }
        for n in (1, 2)
    ]
    assert [split_key(n)[1]["component"] for n in decoded("redfish", report(*values)).names] == [
        "iDRAC.Embedded.1#CPU1Temp",
        "iDRAC.Embedded.1#CPU2Temp",
    ]


def test_it_reads_numbers_texts_and_what_is_neither() -> None:
    said = ["1e3", " 7 ", 5, 2.5, True, "NaN", "1_0", "OK"]
    samples = decoded("redfish", report(*[{"MetricId": "m", "MetricValue": v} for v in said]))
    assert [repr(v) for _, _, v in listed(samples)] == [
        "1000.0", "7.0", "5.0", "2.5", "'true'", "nan", "'1_0'", "'OK'",
    ]  # fmt: skip
    bad: list[Any] = [None, "", " ", [], {}]
    samples = decoded(
        "redfish",
        report(
            *[{"MetricId": "m", "MetricValue": v} for v in bad],
            {"MetricId": "m"},
            {"MetricValue": "1"},
            7,
        ),
    )
    assert [item.code for item in samples.rejected] == ["bad_value"] * 6 + ["malformed"] * 2


def test_it_rejects_a_value_with_a_bad_time_only() -> None:
    samples = decoded(
        "redfish",
        report(
            {"MetricId": "m", "MetricValue": "1", "Timestamp": "2026-03-01T12:00:00"},
            {"MetricId": "m", "MetricValue": "2"},
        ),
    )
    assert [v for _, _, v in listed(samples)] == [2.0]
    assert [item.code for item in samples.rejected] == ["bad_timestamp"]


def test_it_takes_now_where_nothing_has_a_time() -> None:
    body = json.dumps({"MetricValues": [{"MetricId": "m", "MetricValue": "1"}]}).encode()
    assert decoded("redfish", body).ts_us.tolist() == [NOW_US]


def test_it_reads_an_alert_as_its_severity() -> None:
    samples = decoded("redfish", (MESSAGES / "redfish_event.json").read_bytes(), JSON)
    ((name, ts_us, value),) = listed(samples)
    assert split_key(name) == (
        "redfish_event",
        {
            "context": "srv-01",
            "message": "IDRAC.2.8.FAN0001",
            "origin": "/redfish/v1/Chassis/System.Embedded.1/Thermal",
            "type": "Alert",
        },
    )
    assert (ts_us, value) == (NOW_US + 6 * 3_600_000_000 + 3_000_000, 2.0)
    assert "Fan 1A" in samples.hints[name]


def test_it_reads_events_of_other_makers() -> None:
    events = [
        {"MessageId": "A", "Severity": "Warning", "OriginOfCondition": "/redfish/v1/Chassis/1"},
        {"MessageId": "B"},
        {"MessageId": "C", "MessageSeverity": "Odd"},
        {"Message": "no id"},
        None,
    ]
    samples = decoded("redfish", json.dumps({"Events": events}).encode())
    assert [value for _, _, value in listed(samples)] == [1.0, 0.0, "Odd"]
    assert [samples.group[item.index] for item in samples.rejected] == [3, 4]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b"7", b'{"MetricValues": 7}', b"[" * 99_999]
)
def test_it_refuses_what_is_neither_report_nor_event(body: bytes) -> None:
    assert refused("redfish", body, JSON).status == 400


def test_it_answers_200_whatever_an_item_held() -> None:
    samples = decoded("redfish", report({"MetricId": "m", "MetricValue": "1"}, 7))
    answer = answered("redfish", samples)
    assert answer.status == 200
    assert parsed(answer)["rejected"][0]["index"] == 1


def alert(status: str = "firing", **more: Any) -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": "Hot", "rack": "7"},
        "annotations": {"summary": "rack 7 is hot"},
        "startsAt": T,
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": "x",
        **more,
    }


def notification(*alerts: Any, **more: Any) -> bytes:
    return json.dumps({"version": "4", "alerts": list(alerts), **more}).encode()


KEY = 'ALERTS{alertname="Hot",rack="7"}'


def test_it_reads_firing_as_one_and_resolved_as_zero() -> None:
    samples = decoded("alertmanager", (MESSAGES / "alertmanager.json").read_bytes(), JSON)
    first, second = listed(samples)
    assert split_key(first[0])[1]["Hostname"] == "srv-01"
    assert first[1:] == (NOW_US + 123_000, 1.0)
    assert second[1:] == (NOW_US - 90_000_000, 0.0)


def test_it_gives_a_repeated_notification_the_same_series_and_time() -> None:
    once, again = (decoded("alertmanager", notification(alert())) for _ in range(2))
    assert listed(once) == listed(again) == [(KEY, NOW_US, 1.0)]
    assert once.hints == {KEY: "rack 7 is hot"}


def test_it_ends_an_alert_after_its_start() -> None:
    for ends in (T, "2026-03-01T11:00:00Z"):
        samples = decoded("alertmanager", notification(alert("resolved", endsAt=ends)))
        assert listed(samples) == [(KEY, NOW_US + 1, 0.0)]


def test_it_takes_grafanas_shape() -> None:
    body = notification(
        alert(values={"B": 44.2}, valueString="[ x ]", dashboardURL=""),
        version="1",
        orgId=1,
        state="alerting",
    )
    assert listed(decoded("alertmanager", body)) == [(KEY, NOW_US, 1.0)]


def test_it_rejects_single_alerts_and_notes_those_that_were_cut_off() -> None:
    samples = decoded(
        "alertmanager",
        notification(
            alert(),
            alert("pending"),
            alert(labels={}),
            alert(startsAt="soon"),
            7,
            alert(labels={"alertname": "B", "n": 5}),
            truncatedAlerts=3,
            groupKey="g",
        ),
    )
    assert [name for name, _, _ in listed(samples)] == [KEY, 'ALERTS{alertname="B",n="5"}']
    answer = parsed(answered("alertmanager", samples))
    assert [(item["index"], item["code"]) for item in answer["rejected"]] == [
        (1, "malformed"),
        (2, "malformed"),
        (3, "bad_timestamp"),
        (4, "malformed"),
        (6, "truncated"),
    ]
    assert answer["accepted"] == 2


def test_it_refuses_other_bodies_and_never_with_429() -> None:
    for body in (b"", b"{}", b'{"alerts": {}}', b"[]"):
        assert refused("alertmanager", body, JSON).status == 400
    assert refused("alertmanager", notification(), "text/plain").status == 415
    answer = refusal("alertmanager", IngestError(429, "rate_limited", "slower", retry_after_s=9))
    assert (answer.status, answer.headers["Retry-After"]) == (503, "9")
    assert parsed(answer) == {"code": "rate_limited", "detail": "slower"}


def test_it_finds_the_token_of_a_bmc_that_sends_no_header() -> None:
    token = BY_NAME["redfish"].token
    assert token({}, {"token": "hp_x"}) == "hp_x"
    assert token({"x-auth-token": "hp_y"}, {}) == "hp_y"
    assert token({"authorization": "Token hp_z"}, {"token": "hp_x"}) == "hp_z"
    assert token({}, {}) == ""


def test_it_escapes_labels_so_that_different_alerts_stay_different() -> None:
    keys = {
        series_key("ALERTS", labels) for labels in ([("a", 'x",b="y')], [("a", "x"), ("b", "y")])
    }
    assert len(keys) == 2
