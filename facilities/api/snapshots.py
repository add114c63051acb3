"""The facility at one time, and who made everyone wait for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.models import Barrier
from facilities.rollups import job
from facilities.snapshots import snapshot, watermarks
from facilities.snapshots.history import waits
from facilities.snapshots.read import MODES, TIMEOUT_S

from .common import Pages, choice, flag, moment, refuse, text, whole

API_TIMEOUT_S: Final = 5
"""A request holds a thread of the web process while it waits, so it may not wait long."""


class SnapshotValueSerializer(serializers.Serializer[Any]):
    """A point at the snapshot's time."""

    tag = serializers.CharField()
    asset = serializers.CharField()
    quantity = serializers.CharField()
    unit = serializers.CharField()
    ts = serializers.DateTimeField()
    value = serializers.FloatField()
    quality = serializers.IntegerField()
    age_s = serializers.FloatField()
    stale = serializers.BooleanField()


class ArrivalSerializer(serializers.Serializer[Any]):
    """One source at a barrier; ``delay_s`` is null when it did not arrive in time."""

    name = serializers.CharField()
    points = serializers.IntegerField()
    silent = serializers.IntegerField(help_text="Points not waited for: long silent")
    delay_s = serializers.FloatField(allow_null=True)
    holder = serializers.CharField(help_text="The point that holds the source back")


class SnapshotSerializer(serializers.Serializer[Any]):
    """The facility at one time."""

    at = serializers.DateTimeField()
    mode = serializers.ChoiceField(choices=MODES)
    complete = serializers.BooleanField()
    waited_s = serializers.FloatField()
    slowest = serializers.CharField(help_text="Who made everyone wait")
    missing = serializers.ListField(child=serializers.CharField())
    sources = ArrivalSerializer(many=True)
    values = SnapshotValueSerializer(many=True)


class WatermarkSerializer(serializers.Serializer[Any]):
    """Up to which time everything of a source is in."""

    source = serializers.CharField()  # type: ignore[assignment]
    points = serializers.IntegerField()
    silent = serializers.IntegerField()
    upto = serializers.DateTimeField(allow_null=True)
    behind_s = serializers.FloatField(allow_null=True, help_text="Seconds before now; 0: is in")
    holder = serializers.CharField()
    last_received = serializers.DateTimeField(allow_null=True)


class BarrierSerializer(serializers.ModelSerializer[Barrier]):
    """One barrier of the past."""

    sources = ArrivalSerializer(many=True)

    class Meta:
        model = Barrier
        fields = (
            *("id", "at", "asked", "reader", "waited_s", "timeout_s", "complete", "slowest"),
            *("held_s", "sources"),
        )


class WaitSerializer(serializers.Serializer[Any]):
    """What one source cost all the others."""

    source = serializers.CharField()  # type: ignore[assignment]
    barriers = serializers.IntegerField()
    slowest = serializers.IntegerField(help_text="How often it was the last")
    missed = serializers.IntegerField(help_text="How often it did not arrive in time")
    held_s = serializers.FloatField(help_text="Seconds it made everyone else wait, in all")
    delay_p50_s = serializers.FloatField(allow_null=True)
    delay_p95_s = serializers.FloatField(allow_null=True)


class StoreStatusSerializer(serializers.Serializer[Any]):
    """How far behind the rollups are."""

    pending_minutes = serializers.IntegerField()
    pending_hours = serializers.IntegerField()
    lag_s = serializers.FloatField(help_text="Age of the oldest minute that is not summed up")


class SnapshotView(APIView):
    """The facility at one time."""

    @extend_schema(
        operation_id="snapshots_read",
        summary="State of the facility at one time",
        description=(
            "`mode=complete` waits until every source is in up to `at` (default: now), at most "
            "`timeout_s`; `mode=latest` takes what is there."
        ),
        parameters=[
            OpenApiParameter("at", OpenApiTypes.DATETIME, description="ISO 8601 or epoch seconds"),
            OpenApiParameter("mode", str, enum=MODES),
            OpenApiParameter("timeout_s", int, description=f"0 to {API_TIMEOUT_S}"),
            OpenApiParameter("points", str, description="Tags, comma separated; default: all"),
        ],
        responses=SnapshotSerializer,
    )
    def get(self, request: Request) -> Response:
        """Wait as asked, and return the state."""
        now = datetime.now(UTC)
        at = moment(request, "at", now)
        mode = choice(request, "mode", MODES) or "complete"
        timeout_s = whole(request, "timeout_s", int(TIMEOUT_S), 0, API_TIMEOUT_S)
        tags = [tag.strip() for tag in text(request, "points").split(",") if tag.strip()]
        try:
            found = snapshot(
                at=min(at, now) if at <= now + timedelta(seconds=1) else at,
                mode="latest" if mode == "latest" else "complete",
                timeout_s=timeout_s,
                tags=tags or None,
                reader=f"api:{request.user.get_username()}",
            )
        except ValueError as error:
            raise refuse("at", str(error)) from None
        arrivals = found.barrier.arrivals if found.barrier else []
        return Response(
            {
                "at": found.at,
                "mode": found.mode,
                "complete": found.complete,
                "waited_s": round(found.waited_s, 3),
                "slowest": found.slowest,
                "missing": found.missing,
                "sources": [arrival.as_dict() for arrival in arrivals],
                "values": [value._asdict() for value in found.values.values()],
            }
        )


class WatermarkList(APIView):
    """Watermark of every source."""

    @extend_schema(
        operation_id="snapshots_watermarks",
        summary="How far every source is in",
        responses=WatermarkSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """Return the watermarks, by source."""
        now = datetime.now(UTC)
        rows = [
            {
                **mark._asdict(),
                "behind_s": None
                if mark.upto is None
                else round(max((now - mark.upto).total_seconds(), 0.0), 3),
            }
            for mark in watermarks(at=now)
        ]
        return Response(WatermarkSerializer(rows, many=True).data)


@extend_schema_view(
    get=extend_schema(
        operation_id="snapshots_barriers",
        summary="Barriers of the past, newest first",
        parameters=[
            OpenApiParameter("asked", str, enum=Barrier.Asked.values),
            OpenApiParameter("complete", bool),
            OpenApiParameter("slowest", str, description="Name of a source"),
            OpenApiParameter("start", OpenApiTypes.DATETIME),
        ],
    )
)
class BarrierList(generics.ListAPIView[Barrier]):
    """Barriers of the past."""

    serializer_class = BarrierSerializer
    pagination_class = Pages
    queryset = Barrier.objects.none()

    def get_queryset(self) -> QuerySet[Barrier]:
        """Apply the filters of the query string."""
        found = Barrier.objects.all()
        asked = choice(self.request, "asked", Barrier.Asked.values)
        complete = flag(self.request, "complete")
        slowest = text(self.request, "slowest")
        if asked:
            found = found.filter(asked=asked)
        if complete is not None:
            found = found.filter(complete=complete)
        if slowest:
            found = found.filter(slowest=slowest)
        if "start" in self.request.query_params:
            found = found.filter(at__gte=moment(self.request, "start", datetime.now(UTC)))
        return found


class WaitList(APIView):
    """Who made everyone wait."""

    @extend_schema(
        operation_id="snapshots_waits",
        summary="Who made everyone wait, worst first",
        parameters=[OpenApiParameter("hours", int, description="1 to 168 (default 24)")],
        responses=WaitSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """Return one line per source."""
        hours = whole(request, "hours", 24, 1, 168)
        rows = waits(since=datetime.now(UTC) - timedelta(hours=hours))
        return Response([row._asdict() for row in rows])


class StoreStatus(APIView):
    """How far behind the rollups are."""

    @extend_schema(
        operation_id="store_status",
        summary="What waits to be summed up",
        responses=StoreStatusSerializer,
    )
    def get(self, request: Request) -> Response:
        """Return the status."""
        return Response(job.status()._asdict())
