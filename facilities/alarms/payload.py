"""The JSON form of an alarm: the same in the API, in pushes and on pages."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from facilities.models import Alarm
from facilities.models.alarm import Severity

STATE_CHOICES = [
    ("active_unacknowledged", "Active, not acknowledged"),
    ("active_acknowledged", "Active, acknowledged"),
    ("cleared_unacknowledged", "Cleared, not acknowledged"),
    ("cleared_acknowledged", "Cleared, acknowledged"),
]


class AlarmSerializer(serializers.ModelSerializer[Alarm]):
    """One alarm."""

    point = serializers.CharField(source="point.tag", read_only=True)
    asset = serializers.CharField(source="point.asset.tag", read_only=True)
    unit = serializers.CharField(source="point.unit", read_only=True)
    rule = serializers.CharField(source="rule.name", read_only=True)
    severity = serializers.ChoiceField(choices=Severity.choices, read_only=True)
    state = serializers.ChoiceField(choices=STATE_CHOICES, read_only=True)
    acknowledged_by = serializers.CharField(
        source="acknowledged_by.username", read_only=True, allow_null=True, default=None
    )

    class Meta:
        model = Alarm
        fields = (
            "id",
            "point",
            "asset",
            "unit",
            "rule",
            "severity",
            "state",
            "message",
            "value",
            "peak_value",
            "raised_at",
            "cleared_at",
            "acknowledged_at",
            "acknowledged_by",
        )
        read_only_fields = fields


def alarm_payload(alarm: Alarm) -> dict[str, Any]:
    """Return the alarm as JSON-able data. Select point, asset, rule and user beforehand."""
    return dict(AlarmSerializer(alarm).data)
