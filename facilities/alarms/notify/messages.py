"""What a message says. One builder, so that webhook and e-mail agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from facilities.alarms.payload import alarm_payload
from facilities.models import Alarm


def alarm_body(alarm: Alarm, *, consequences: int, step: str) -> dict[str, Any]:
    """Return the JSON body: the alarm as the API shows it, a subject and a text for people."""
    payload = alarm_payload(alarm)
    subject = f"[{alarm.severity}] {alarm.point.tag}: {alarm.message}"
    lines = [
        f"{alarm.message} ({alarm.rule.name})",
        f"Point: {alarm.point.tag}, {alarm.point.name}",
        f"Value: {alarm.value:g} {payload['unit']}, worst {alarm.peak_value:g} {payload['unit']}",
        f"Since: {alarm.raised_at:%Y-%m-%d %H:%M:%S} UTC",
    ]
    if consequences:
        lines.append(f"Consequences hidden under it: {consequences}")
    lines += [f"Step: {step}", "", f"Acknowledge: {link(alarm)}"]
    return {
        "type": "alarm.raised",
        "subject": subject[:200].replace("\n", " ").replace("\r", " "),
        "text": "\n".join(lines),
        "url": link(alarm),
        "step": step,
        "consequences": consequences,
        "alarm": payload,
    }


def trial_body(channel: str, by: str) -> dict[str, Any]:
    """Return the body of a test message."""
    return {
        "type": "test",
        "subject": f"[test] Holdpoint channel {channel}",
        "text": f"{by} tests the channel {channel}. Alarms would arrive like this.",
        "url": f"{settings.PUBLIC_URL}/alarms/notifications/",
    }


def link(alarm: Alarm) -> str:
    """Address of the alarm on the console; without ``OPS_PUBLIC_URL`` only its path."""
    return f"{settings.PUBLIC_URL}{alarm.get_absolute_url()}"


def type_of(body: Mapping[str, Any]) -> str:
    """The event's name, for the log."""
    return str(body["type"])
