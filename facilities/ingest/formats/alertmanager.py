"""Alertmanager's webhook (version 4), also as Grafana sends it.

An alert is the series ``ALERTS{…its labels}``: 1 from ``startsAt``, 0 from ``endsAt``. A repeated
notification says the same (series, time) again and changes nothing.
"""

from __future__ import annotations

import json
from typing import Any, Final

from facilities.ingest.errors import IngestError
from facilities.ingest.formats import webhooks
from facilities.ingest.formats.base import (
    MAX_SAMPLES,
    Format,
    Headers,
    Query,
    Rows,
    raw_text,
    show,
    too_many,
)
from facilities.ingest.formats.keys import series_key
from facilities.ingest.formats.times import BadTime
from facilities.ingest.samples import Samples

FIRING, RESOLVED = "firing", "resolved"


def decode(
    body: bytes, content_type: str, headers: Headers, query: Query, now_us: int, limit: int
) -> Samples:
    """Read a notification. Raises ``IngestError`` 400, 413, 415."""
    data = webhooks.json_object(
        body, content_type, headers, limit=limit, what="an Alertmanager notification"
    )
    alerts = data.get("alerts")
    if not isinstance(alerts, list):
        raise IngestError(
            400,
            "malformed",
            "the body has no list of alerts; send Alertmanager's webhook version 4",
        )
    if len(alerts) > MAX_SAMPLES:
        raise too_many(len(alerts))
    rows = Rows()
    for at, alert in enumerate(alerts):
        try:
            _alert(rows, at, alert, now_us)
        except _Refused as refused:
            rows.reject(at, refused.code, refused.detail, json.dumps(alert, ensure_ascii=False))
    cut = data.get("truncatedAlerts")
    if isinstance(cut, int) and cut > 0:
        rows.reject(
            len(alerts),
            "truncated",
            f"{cut} alerts were cut off by the sender; set max_alerts: 0 in its webhook_config",
            show(data.get("groupKey"), 200),
        )
    return rows.samples()


class _Refused(Exception):
    def __init__(self, code: str, detail: str) -> None:
        self.code, self.detail = code, detail


def _alert(rows: Rows, at: int, alert: Any, now_us: int) -> None:
    labels = alert.get("labels") if isinstance(alert, dict) else None
    if not isinstance(labels, dict) or not labels.get("alertname"):
        raise _Refused("malformed", "the alert has no labels with an alertname")
    status = alert.get("status")
    if status not in (FIRING, RESOLVED):
        raise _Refused("malformed", f"status {show(status)} is neither firing nor resolved")
    key = series_key("ALERTS", ((name, webhooks.text_of(text)) for name, text in labels.items()))
    try:
        ts_us = webhooks.time_of(alert.get("startsAt"), now_us)
        if status == RESOLVED:
            # An alert that ends as it starts still has to end after it.
            ts_us = max(webhooks.time_of(alert.get("endsAt"), now_us), ts_us + 1)
    except BadTime as error:
        raise _Refused("bad_timestamp", f"alert {show(labels['alertname'])}: {error}") from None
    rows.add(key, ts_us, 1.0 if status == FIRING else 0.0, at)
    notes = alert.get("annotations")
    if isinstance(notes, dict):
        said = webhooks.text_of(notes.get("summary")) or webhooks.text_of(notes.get("description"))
        if said:
            rows.hints[key] = raw_text(said[:200])


ALERTMANAGER: Final = Format(
    name="alertmanager",
    paths=("/api/v1/alertmanager",),
    token=webhooks.token_or_query,
    decode=decode,
    answer=webhooks.answer,
    refuse=webhooks.refuse,
)
