"""The JSON form of an alarm: the same in the API, in pushes and on pages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from facilities.models import Alarm, AlarmEvent
from facilities.models.alarm import AlarmEventKind, RuleKind, Severity

from .kinds import KINDS

STATE_CHOICES = [
    ("active_unacknowledged", "Active, not acknowledged"),
    ("active_acknowledged", "Active, acknowledged"),
    ("cleared_unacknowledged", "Cleared, not acknowledged"),
    ("cleared_acknowledged", "Cleared, acknowledged"),
]


class AlarmSerializer(serializers.ModelSerializer[Alarm]):
    """One alarm. ``value`` and ``peak_value`` are in ``unit``: what the rule looks at."""

    point = serializers.CharField(source="point.tag", read_only=True)
    asset = serializers.CharField(source="point.asset.tag", read_only=True)
    hall = serializers.CharField(
        source="point.asset.hall.slug", read_only=True, allow_null=True, default=None
    )
    unit = serializers.SerializerMethodField()
    rule = serializers.CharField(source="rule.name", read_only=True)
    rule_kind = serializers.ChoiceField(
        source="rule.kind", choices=RuleKind.choices, read_only=True
    )
    severity = serializers.ChoiceField(choices=Severity.choices, read_only=True)
    state = serializers.ChoiceField(choices=STATE_CHOICES, read_only=True)
    safety = serializers.BooleanField(read_only=True, help_text="Protects people; never hidden")
    acknowledged_by = serializers.CharField(
        source="acknowledged_by.username", read_only=True, allow_null=True, default=None
    )
    assignee = serializers.CharField(
        source="assignee.username", read_only=True, allow_null=True, default=None
    )
    group = serializers.IntegerField(
        read_only=True, help_text="Id of the alarm that heads the group; its own where it does"
    )
    shelved_until = serializers.SerializerMethodField(
        help_text="Until when it lies on the shelf; null when it does not"
    )
    maintenance = serializers.CharField(
        source="maintenance.reason",
        read_only=True,
        allow_null=True,
        default=None,
        help_text="Reason of the maintenance window it was raised in",
    )

    class Meta:
        model = Alarm
        fields: tuple[str, ...] = (
            "id",
            "point",
            "asset",
            "hall",
            "unit",
            "rule",
            "rule_kind",
            "severity",
            "state",
            "safety",
            "message",
            "value",
            "quality",
            "peak_value",
            "raised_at",
            "cleared_at",
            "acknowledged_at",
            "acknowledged_by",
            "assignee",
            "group",
            "suppressed",
            "shelved_until",
            "maintenance",
            "occurrences",
        )
        read_only_fields: tuple[str, ...] = fields

    def get_unit(self, alarm: Alarm) -> str:
        """Unit of the signal: the point's, per minute for a rate, intervals for staleness."""
        return signal_unit(alarm)

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_shelved_until(self, alarm: Alarm) -> str | None:
        """Leave out what is over."""
        until = alarm.shelved_until
        if until is None or until <= datetime.now(UTC):
            return None
        return serializers.DateTimeField().to_representation(until)


class AlarmEventSerializer(serializers.ModelSerializer[AlarmEvent]):
    """One line of an alarm's history."""

    event = serializers.ChoiceField(choices=AlarmEventKind.choices, read_only=True)
    actor = serializers.CharField(
        source="actor.username", read_only=True, allow_null=True, default=None
    )

    class Meta:
        model = AlarmEvent
        fields = ("at", "event", "actor", "note")
        read_only_fields = fields


def signal_unit(alarm: Alarm) -> str:
    """Unit of what the alarm's value measures. Select point and rule beforehand."""
    kind = KINDS[alarm.rule.kind]
    if "unit" in kind.keys:
        return str(alarm.rule.parameters.get("unit", ""))
    if kind.unit.startswith("/"):
        return f"{alarm.point.unit}{kind.unit}"
    return kind.unit or alarm.point.unit


def alarm_payload(alarm: Alarm) -> dict[str, Any]:
    """Return the alarm as JSON-able data. Select what ``announce.relations`` selects beforehand."""
    return dict(AlarmSerializer(alarm).data)
