"""The followed twin: state, accuracy, findings, what sensors hide."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.models import TwinAccuracy, TwinFinding
from facilities.tracking import reads

from .common import Pages, flag, moment, text, whole

MAX_POINTS = 2_000


class FollowedSerializer(serializers.Serializer[Any]):
    """One followed point at the last snapshot."""

    tag = serializers.CharField()
    kind = serializers.CharField(help_text="Of the asset")
    unit = serializers.CharField(help_text="Of the residual")
    measured = serializers.FloatField()
    predicted = serializers.FloatField(help_text="With the learnt offset")
    residual = serializers.FloatField(help_text="Measured minus predicted")
    sigma = serializers.FloatField(help_text="Standard deviation to expect")
    z = serializers.FloatField(help_text="residual / sigma")
    offset = serializers.FloatField(help_text="What the point is lastingly off by")


class EstimateSerializer(serializers.Serializer[Any]):
    """One estimated parameter."""

    asset = serializers.CharField()
    name = serializers.CharField()
    meaning = serializers.CharField()
    value = serializers.FloatField()
    sigma = serializers.FloatField()
    prior = serializers.FloatField(help_text="Believed beforehand")
    known = serializers.BooleanField(help_text="The plant's operation has told something")


class TwinStateSerializer(serializers.Serializer[Any]):
    """How the twin follows the plant."""

    following = serializers.BooleanField()
    at = serializers.DateTimeField(allow_null=True)
    age_s = serializers.FloatField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True, help_text="Last began anew")
    complete = serializers.BooleanField(help_text="The last snapshot was complete")
    waited_s = serializers.FloatField()
    turns = serializers.IntegerField()
    cost_ms = serializers.FloatField(help_text="Processor time of a turn, mean")
    busy_fraction = serializers.FloatField(help_text="Share of one core")
    problem = serializers.CharField()
    points = FollowedSerializer(many=True)
    estimates = EstimateSerializer(many=True)


class FitSerializer(serializers.Serializer[Any]):
    """Accuracy over one horizon."""

    samples = serializers.IntegerField()
    mean = serializers.FloatField()
    rmse = serializers.FloatField()
    cv_rmse_pct = serializers.FloatField(allow_null=True)
    nmbe_pct = serializers.FloatField(allow_null=True)
    passed = serializers.BooleanField()


class FitnessSerializer(FitSerializer):
    """Accuracy of one quantity over this hour and the last; the main figures are of ``horizon``."""

    quantity = serializers.CharField()
    unit = serializers.CharField()
    horizon = serializers.ChoiceField(choices=("step", "free"))
    step = FitSerializer()
    free = FitSerializer(allow_null=True)


class AccuracyHourSerializer(serializers.ModelSerializer[TwinAccuracy]):
    """Accuracy of one hour."""

    class Meta:
        model = TwinAccuracy
        fields = (
            *("hour", "quantity", "horizon", "unit", "samples", "mean", "rmse"),
            *("cv_rmse_pct", "nmbe_pct", "passed"),
        )


class TwinAccuracySerializer(serializers.Serializer[Any]):
    """Accuracy now and by hour, with the limits it is judged by."""

    limits = serializers.JSONField(help_text="ASHRAE Guideline 14, per cent")
    quantities = FitnessSerializer(many=True)
    hours = AccuracyHourSerializer(many=True)


class FindingSerializer(serializers.ModelSerializer[TwinFinding]):
    """Something that wears out."""

    asset = serializers.CharField(source="asset.tag", read_only=True)
    point = serializers.CharField(source="point.tag", read_only=True, default=None)

    class Meta:
        model = TwinFinding
        fields = (
            *("id", "asset", "point", "what", "parameter", "unit", "value", "sigma"),
            *("slope_per_h", "slope_sigma_per_h", "level", "found_at", "last_at"),
            *("expected_at", "earliest_at", "latest_at", "confidence", "closed_at", "text"),
        )


class GapSerializer(serializers.Serializer[Any]):
    """What a slow sensor hides now."""

    tag = serializers.CharField()
    unit = serializers.CharField()
    tau_s = serializers.FloatField()
    delay_s = serializers.FloatField(help_text="Half the polling interval")
    detected = serializers.FloatField(help_text="What it shows")
    value = serializers.FloatField(help_text="Estimated true value")
    slope = serializers.FloatField(help_text="Per second")
    gap = serializers.FloatField(help_text="True minus detected")
    sigma = serializers.FloatField(help_text="Of the true value")


class SavingSerializer(serializers.Serializer[Any]):
    """What a faster sensor would save."""

    s = serializers.FloatField(allow_null=True)
    over_k_min = serializers.FloatField()
    gpu_s = serializers.FloatField()
    wh = serializers.FloatField()


class CostSerializer(serializers.Serializer[Any]):
    """What a rack's inlet sensor costs in an incident, against an ideal one."""

    rack = serializers.CharField()
    tau_s = serializers.FloatField()
    delay_s = serializers.FloatField()
    late_s = serializers.FloatField(allow_null=True, help_text="The cooling reacts so much later")
    acted_s = serializers.FloatField(allow_null=True)
    ideal_acted_s = serializers.FloatField(allow_null=True)
    peak_c = serializers.FloatField()
    ideal_peak_c = serializers.FloatField()
    over_k_min = serializers.FloatField(help_text="More K·min above 27 °C, all racks")
    lost_gpu_s = serializers.FloatField(help_text="More GPU-seconds lost to throttling")
    wasted_wh = serializers.FloatField(help_text="More energy")
    faster_saves = SavingSerializer()


class TwinSensorsSerializer(serializers.Serializer[Any]):
    """Gaps of slow sensors, and what they cost."""

    at = serializers.DateTimeField(allow_null=True)
    gaps = GapSerializer(many=True)
    costs_at = serializers.DateTimeField(allow_null=True)
    costs = serializers.DictField(child=CostSerializer(many=True))


class TwinStateView(APIView):
    """The followed state."""

    @extend_schema(
        operation_id="twin_state",
        summary="How the twin follows the plant",
        parameters=[OpenApiParameter("limit", int, description=f"Points, 1 to {MAX_POINTS}")],
        responses=TwinStateSerializer,
    )
    def get(self, request: Request) -> Response:
        """Return state, points (most surprising first) and estimates."""
        found = reads.status()
        limit = whole(request, "limit", 200, 1, MAX_POINTS)
        row = found.row
        names = ("at", "started_at", "complete", "waited_s", "turns", "cost_ms", "problem")
        data = {name: getattr(row, name) for name in names} | {
            "following": found.following,
            "age_s": found.age_s,
            "busy_fraction": row.busy_fraction,
            "points": found.followed()[:limit],
            "estimates": found.estimates(),
        }
        return Response(TwinStateSerializer(data).data)


class TwinAccuracyView(APIView):
    """Accuracy by quantity."""

    @extend_schema(
        operation_id="twin_accuracy",
        summary="How well the twin predicts",
        description=(
            "CV(RMSE) and NMBE against the hourly limits of ASHRAE Guideline 14. `step` is one "
            "snapshot ahead, `free` up to 30 minutes uncorrected, from what was learnt before. "
            "Temperatures are in °C, so CV is relative to the mean above 0 °C; see `rmse` (K)."
        ),
        parameters=[
            OpenApiParameter("start", OpenApiTypes.DATETIME, description="Default: a day ago"),
            OpenApiParameter("quantity", str, description="For example rack.inlet_c"),
        ],
        responses=TwinAccuracySerializer,
    )
    def get(self, request: Request) -> Response:
        """Return the figures now, and the last 1,000 rows by hour."""
        start = moment(request, "start", datetime.now(UTC) - timedelta(days=1))
        quantity = text(request, "quantity")
        quantities = [
            row for row in reads.status().fitness() if not quantity or row["quantity"] == quantity
        ]
        hours = reads.accuracy_hours(since=start, quantity=quantity)[:1000]
        data = {"limits": reads.LIMITS, "quantities": quantities, "hours": hours}
        return Response(TwinAccuracySerializer(data).data)


@extend_schema_view(
    get=extend_schema(
        operation_id="twin_findings",
        summary="What wears out, soonest first",
        parameters=[
            OpenApiParameter("open", bool, description="Default true; false: closed ones only"),
            OpenApiParameter("asset", str),
        ],
    )
)
class TwinFindings(generics.ListAPIView[TwinFinding]):
    """Findings of predictive maintenance."""

    serializer_class = FindingSerializer
    pagination_class = Pages
    queryset = TwinFinding.objects.none()

    def get_queryset(self) -> QuerySet[TwinFinding]:
        """Apply the filters of the query string."""
        wanted = flag(self.request, "open")
        found = reads.findings(open_only=wanted is not False)
        if wanted is False:
            found = found.exclude(closed_at=None)
        if asset := text(self.request, "asset"):
            found = found.filter(asset__tag=asset)
        return found


class TwinSensorsView(APIView):
    """Gaps of slow sensors."""

    @extend_schema(
        operation_id="twin_sensors",
        summary="What slow sensors hide, and what that costs",
        responses=TwinSensorsSerializer,
    )
    def get(self, request: Request) -> Response:
        """Return gaps, widest first, and costs by incident."""
        found = reads.status()
        incidents = found.row.costs.get("incidents", {})
        data = {
            "at": found.row.at,
            "gaps": found.gaps(),
            "costs_at": found.row.costs_at,
            "costs": {name: found.costs(name) for name in incidents},
        }
        return Response(TwinSensorsSerializer(data).data)
