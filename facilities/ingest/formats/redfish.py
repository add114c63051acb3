"""Redfish events pushed by a BMC: telemetry (``MetricReport``) and alerts (``Event``).

A BMC identifies itself by the header set at subscription (``HttpHeaders``), and within one token
by the subscription's ``Context``, which becomes a label.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from facilities.ingest.errors import IngestError
from facilities.ingest.formats import webhooks
from facilities.ingest.formats.base import MAX_SAMPLES, Format, Headers, Query, Rows, show, too_many
from facilities.ingest.formats.keys import series_key
from facilities.ingest.formats.times import BadTime
from facilities.ingest.samples import Samples

SEVERITY: Final = {"ok": 0.0, "informational": 0.0, "warning": 1.0, "critical": 2.0}
"""Redfish's ``Health`` values, and the word that older BMCs use for OK."""


def decode(
    body: bytes, content_type: str, headers: Headers, query: Query, now_us: int, limit: int
) -> Samples:
    """Read a report or an event. Raises ``IngestError`` 400, 413, 415."""
    data = webhooks.json_object(
        body, content_type, headers, limit=limit, what="a MetricReport or an Event"
    )
    rows = Rows()
    if isinstance(data.get("MetricValues"), list):
        _report(rows, data, now_us)
    elif isinstance(data.get("Events"), list):
        _events(rows, data, now_us)
    elif not str(data.get("@odata.type", "")).startswith(("#MetricReport.", "#Event.")):
        raise IngestError(
            400,
            "malformed",
            "the body has neither MetricValues nor Events; subscribe with EventFormatType "
            "MetricReport or Event",
        )
    return rows.samples()


def _report(rows: Rows, report: dict[str, Any], now_us: int) -> None:
    values = report["MetricValues"]
    if len(values) > MAX_SAMPLES:
        raise too_many(len(values))
    name = _last_of(report.get("MetricReportDefinition")) or webhooks.text_of(report.get("Id"))
    about = {"context": webhooks.text_of(report.get("Context")), "report": name}
    for at, item in enumerate(values):
        if not isinstance(item, dict):
            rows.reject(at, "malformed", f"{show(item)} is not a metric value", _raw(item))
            continue
        labels = about | {
            "metric": webhooks.text_of(item.get("MetricId")),
            "property": webhooks.text_of(item.get("MetricProperty")),
            "component": _component(item),
        }
        if not labels["metric"] and not labels["property"]:
            rows.reject(
                at, "malformed", "the value has neither MetricId nor MetricProperty", _raw(item)
            )
            continue
        value = _value(item.get("MetricValue"))
        if value is None:
            said = show(item.get("MetricValue"))
            rows.reject(at, "bad_value", f"MetricValue {said} is no value", _raw(item))
            continue
        _add(
            rows,
            at,
            "redfish",
            labels,
            item.get("Timestamp") or report.get("Timestamp"),
            value,
            now_us,
            item,
        )


def _events(rows: Rows, event: dict[str, Any], now_us: int) -> None:
    events = event["Events"]
    if len(events) > MAX_SAMPLES:
        raise too_many(len(events))
    context = webhooks.text_of(event.get("Context"))
    for at, item in enumerate(events):
        if not isinstance(item, dict) or not webhooks.text_of(item.get("MessageId")):
            rows.reject(at, "malformed", "the event has no MessageId", _raw(item))
            continue
        origin = item.get("OriginOfCondition")
        labels = {
            "context": context or webhooks.text_of(item.get("Context")),
            "message": webhooks.text_of(item.get("MessageId")),
            "origin": webhooks.text_of(
                origin.get("@odata.id") if isinstance(origin, dict) else origin
            ),
            "type": webhooks.text_of(item.get("EventType")),
        }
        said = webhooks.text_of(item.get("MessageSeverity") or item.get("Severity")) or "OK"
        value = SEVERITY.get(said.lower(), said)
        key = _add(
            rows, at, "redfish_event", labels, item.get("EventTimestamp"), value, now_us, item
        )
        message = webhooks.text_of(item.get("Message"))
        if key and message:
            rows.hints[key] = message[:200]


def _add(
    rows: Rows,
    at: int,
    name: str,
    labels: dict[str, str],
    stamp: Any,
    value: float | str,
    now_us: int,
    item: Any,
) -> str:
    key = series_key(name, labels.items())
    try:
        rows.add(key, webhooks.time_of(stamp, now_us), value, at)
    except BadTime as error:
        rows.reject(at, "bad_timestamp", f"series {show(key)}: {error}", _raw(item))
        return ""
    return key


def _value(said: Any) -> float | str | None:
    """``MetricValue`` is text by the schema; numbers in it are numbers, the rest stays text."""
    if isinstance(said, bool):
        return "true" if said else "false"
    if isinstance(said, int | float):
        return float(said) if abs(said) < 1e308 else math.inf
    if not isinstance(said, str) or not said.strip():
        return None
    try:
        return said.strip() if "_" in said else float(said)
    except ValueError:
        return said.strip()


def _component(item: dict[str, Any]) -> str:
    """Dell's reports name many sensors by one MetricId; the component is in their OEM part."""
    oem = item.get("Oem")
    if not isinstance(oem, dict):
        return ""
    for vendor in oem.values():
        if isinstance(vendor, dict):
            for field in ("FQDD", "ContextID"):
                if text := webhooks.text_of(vendor.get(field)):
                    return text
    return ""


def _last_of(link: Any) -> str:
    if not isinstance(link, dict):
        return ""
    return webhooks.text_of(link.get("@odata.id")).rstrip("/").rpartition("/")[2]


def _raw(item: Any) -> str:
    return json.dumps(item, ensure_ascii=False)


REDFISH: Final = Format(
    name="redfish",
    paths=("/api/v1/redfish/events",),
    token=webhooks.token_or_query,
    decode=decode,
    answer=webhooks.answer,
    refuse=webhooks.refuse,
)
