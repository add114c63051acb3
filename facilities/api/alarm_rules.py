"""Alarm rules, air envelopes, and how the alarm system does."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.db.models import ProtectedError
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.alarms.metrics import metrics
from facilities.models import AlarmRule, Envelope, Point
from facilities.models.alarm import RuleKind

from .alarm_access import Cleaned, MayManageAlarms
from .common import Pages, whole


class RuleSerializer(Cleaned):
    """A rule on one point, or a template: on one quantity of every asset of a kind."""

    kind = serializers.ChoiceField(choices=RuleKind.choices, default=RuleKind.THRESHOLD)
    parameters = serializers.DictField(default=dict)
    point = serializers.SlugRelatedField(
        slug_field="tag", queryset=Point.objects.all(), allow_null=True, default=None
    )

    class Meta:
        model = AlarmRule
        fields = (
            "id",
            "name",
            "kind",
            "parameters",
            "point",
            "asset_kind",
            "quantity",
            "comparator",
            "raise_level",
            "clear_level",
            "delay_s",
            "severity",
            "message",
            "basis",
            "safety",
            "enabled",
        )


@extend_schema_view(
    get=extend_schema(operation_id="alarm_rules_list", summary="Alarm rules"),
    post=extend_schema(operation_id="alarm_rules_create", summary="Make a rule"),
)
class RuleList(generics.ListCreateAPIView[AlarmRule]):
    """Rules, by name."""

    serializer_class = RuleSerializer
    pagination_class = Pages
    permission_classes = [IsAuthenticated, MayManageAlarms]
    queryset = AlarmRule.objects.select_related("point").order_by("name")


@extend_schema_view(
    get=extend_schema(operation_id="alarm_rules_retrieve", summary="A rule"),
    patch=extend_schema(
        operation_id="alarm_rules_update",
        summary="Change a rule",
        description="Valid from the next evaluation; open alarms follow the new levels.",
    ),
    delete=extend_schema(
        operation_id="alarm_rules_delete",
        summary="Delete a rule",
        description="Only one that never raised an alarm; switch others off.",
    ),
)
class RuleDetail(generics.RetrieveUpdateDestroyAPIView[AlarmRule]):
    """One rule."""

    http_method_names = ["get", "patch", "delete", "options"]
    serializer_class = RuleSerializer
    permission_classes = [IsAuthenticated, MayManageAlarms]
    queryset = AlarmRule.objects.select_related("point")

    def perform_destroy(self, instance: AlarmRule) -> None:
        """Keep what alarms refer to."""
        try:
            instance.delete()
        except ProtectedError:
            raise serializers.ValidationError(
                f"rule {instance.name} has raised alarms, whose history names it; switch it off"
            ) from None


class EnvelopeSerializer(Cleaned):
    """Limits of one equipment class."""

    class Meta:
        model = Envelope
        fields = (
            "id",
            "name",
            "range",
            "low_c",
            "high_c",
            "dew_point_low_c",
            "dew_point_high_c",
            "rh_low_pct",
            "rh_high_pct",
            "basis",
            "checked",
        )
        validators: list[Any] = []


@extend_schema_view(
    get=extend_schema(operation_id="envelopes_list", summary="Air envelopes (ASHRAE classes)"),
    post=extend_schema(operation_id="envelopes_create", summary="Add an envelope"),
)
class EnvelopeList(generics.ListCreateAPIView[Envelope]):
    """Envelopes by class."""

    serializer_class = EnvelopeSerializer
    pagination_class = Pages
    permission_classes = [IsAuthenticated, MayManageAlarms]
    queryset = Envelope.objects.order_by("name", "-range")


@extend_schema_view(
    get=extend_schema(operation_id="envelopes_retrieve", summary="An envelope"),
    patch=extend_schema(
        operation_id="envelopes_update",
        summary="Change an envelope",
        description="Rules that follow it use the new limits at once.",
    ),
)
class EnvelopeDetail(generics.RetrieveUpdateAPIView[Envelope]):
    """One envelope."""

    http_method_names = ["get", "patch", "options"]
    serializer_class = EnvelopeSerializer
    permission_classes = [IsAuthenticated, MayManageAlarms]
    queryset = Envelope.objects.all()


class _SlotSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    count = serializers.IntegerField()


class _BadActorSerializer(serializers.Serializer[Any]):
    point = serializers.CharField()
    rule = serializers.CharField()
    count = serializers.IntegerField()
    share = serializers.FloatField()


class MetricsSerializer(serializers.Serializer[Any]):
    """Figures of ISA-18.2 over a period."""

    hours = serializers.FloatField()
    operators = serializers.IntegerField(help_text="Active people who may acknowledge")
    total = serializers.IntegerField()
    told = serializers.IntegerField(help_text="Not hidden under a cause")
    suppressed = serializers.IntegerField()
    per_10min = serializers.FloatField(help_text="Mean per operator")
    per_10min_peak = serializers.FloatField()
    flood_share = serializers.FloatField(help_text="Slots with more than ten per operator")
    slots = _SlotSerializer(many=True)
    bad_actors = _BadActorSerializer(many=True)
    by_severity = serializers.DictField(child=serializers.IntegerField())
    standing = serializers.IntegerField(help_text="Active for more than 24 h")
    chattering = serializers.IntegerField(help_text="Pairs that came three times in a minute")
    shelved = serializers.IntegerField()
    unacknowledged = serializers.IntegerField()
    median_acknowledge_s = serializers.FloatField(allow_null=True)


class AlarmMetrics(APIView):
    """How the alarm system does."""

    @extend_schema(
        operation_id="alarms_metrics",
        summary="Alarm system performance (ISA-18.2)",
        parameters=[OpenApiParameter("hours", int, description="1 to 720, default 24")],
        responses=MetricsSerializer,
    )
    def get(self, request: Request) -> Response:
        """Measure."""
        hours = whole(request, "hours", 24, 1, 720)
        found = metrics(end=timezone.now(), hours=hours)._asdict()
        found["slots"] = [asdict(slot) for slot in found["slots"]]
        found["bad_actors"] = [asdict(actor) for actor in found["bad_actors"]]
        return Response(MetricsSerializer(found).data)
