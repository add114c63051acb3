"""Anomalies: events above the threshold, newest scores, and how the detector keeps up."""

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

from facilities.anomaly import THRESHOLD
from facilities.models import AnomalyEvent, AnomalyScore, AnomalyWorker

from .common import Pages, moment, refuse, text


class AnomalyEventSerializer(serializers.ModelSerializer[AnomalyEvent]):
    """A stretch of readings that the detector found anomalous."""

    point = serializers.CharField(source="point.tag", read_only=True)
    asset = serializers.CharField(source="point.asset.tag", read_only=True)
    unit = serializers.CharField(source="point.unit", read_only=True)

    class Meta:
        model = AnomalyEvent
        fields = (
            "id",
            "point",
            "asset",
            "unit",
            "started_at",
            "last_at",
            "peak_score",
            "value",
            "expected",
            "expert",
        )


class AnomalyScoreSerializer(serializers.ModelSerializer[AnomalyScore]):
    """The newest score of a point."""

    point = serializers.CharField(source="point.tag", read_only=True)

    class Meta:
        model = AnomalyScore
        fields = ("point", "ts", "score", "expert")


class AnomalyStatusSerializer(serializers.Serializer[Any]):
    """How the detector keeps up."""

    running = serializers.BooleanField(help_text="A process holds the lease")
    threshold = serializers.FloatField()
    points = serializers.IntegerField()
    warm_points = serializers.IntegerField(help_text="Past their warm-up, so with scores")
    scored = serializers.IntegerField(help_text="Readings since the first start")
    lag_s = serializers.FloatField(help_text="From a reading's commit to its score")
    busy_fraction = serializers.FloatField(help_text="Share of one core")
    snapshot_at = serializers.DateTimeField(allow_null=True)


@extend_schema_view(
    get=extend_schema(
        operation_id="anomalies_list",
        summary="Anomalies",
        parameters=[
            OpenApiParameter("point", str, description="Tag of a point"),
            OpenApiParameter("asset", str, description="Tag of an asset"),
            OpenApiParameter("start", OpenApiTypes.DATETIME, description="Default: a day ago"),
            OpenApiParameter("end", OpenApiTypes.DATETIME, description="Default: now"),
        ],
    )
)
class AnomalyList(generics.ListAPIView[AnomalyEvent]):
    """Events, newest first."""

    serializer_class = AnomalyEventSerializer
    pagination_class = Pages
    queryset = AnomalyEvent.objects.none()

    def get_queryset(self) -> QuerySet[AnomalyEvent]:
        """Apply the filters of the query string."""
        end = moment(self.request, "end", datetime.now(UTC))
        start = moment(self.request, "start", end - timedelta(days=1))
        if start >= end:
            raise refuse("start", f"{start.isoformat()} is not before end {end.isoformat()}")
        found = AnomalyEvent.objects.select_related("point__asset").filter(
            started_at__gte=start, started_at__lte=end
        )
        if point := text(self.request, "point"):
            found = found.filter(point__tag=point)
        if asset := text(self.request, "asset"):
            found = found.filter(point__asset__tag=asset)
        return found


@extend_schema_view(
    get=extend_schema(
        operation_id="anomalies_scores",
        summary="Newest anomaly scores, highest first",
        parameters=[OpenApiParameter("asset", str, description="Tag of an asset")],
    )
)
class AnomalyScores(generics.ListAPIView[AnomalyScore]):
    """Scores from 0 to 1; points in their warm-up have none."""

    serializer_class = AnomalyScoreSerializer
    pagination_class = Pages
    queryset = AnomalyScore.objects.none()

    def get_queryset(self) -> QuerySet[AnomalyScore]:
        """Apply the filters of the query string."""
        found = AnomalyScore.objects.select_related("point").order_by("-score", "point_id")
        if asset := text(self.request, "asset"):
            found = found.filter(point__asset__tag=asset)
        return found


class AnomalyStatus(APIView):
    """The detector's own state."""

    @extend_schema(
        operation_id="anomalies_status",
        summary="How the detector keeps up",
        responses=AnomalyStatusSerializer,
    )
    def get(self, request: Request) -> Response:
        """Return the row of the worker that holds the lease."""
        row = AnomalyWorker.objects.filter(pk=1).first() or AnomalyWorker()
        held = row.lease_until is not None and row.lease_until > datetime.now(UTC)
        names = ("points", "warm_points", "scored", "lag_s", "busy_fraction", "snapshot_at")
        data = {name: getattr(row, name) for name in names}
        return Response(
            AnomalyStatusSerializer({**data, "running": held, "threshold": THRESHOLD}).data
        )
