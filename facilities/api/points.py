"""The data list: points with their latest values, and a point's series."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.models import LatestReading, Point
from facilities.models.asset import AssetKind
from facilities.selectors import MAX_SERIES_POINTS, point_series

from .common import Pages, choice, moment, refuse, text, whole


class LatestSerializer(serializers.ModelSerializer[LatestReading]):
    """A point's newest reading."""

    class Meta:
        model = LatestReading
        fields = ("ts", "value", "quality", "received_at")


class PointSerializer(serializers.ModelSerializer[Point]):
    """One line of the data list."""

    asset = serializers.CharField(source="asset.tag", read_only=True)
    kind = serializers.ChoiceField(source="asset.kind", choices=AssetKind.choices, read_only=True)
    latest = LatestSerializer(read_only=True, allow_null=True, default=None)

    class Meta:
        model = Point
        fields = (
            "tag",
            "asset",
            "kind",
            "name",
            "quantity",
            "brick_class",
            "unit",
            "min_value",
            "max_value",
            "precision",
            "sampling_interval_s",
            "response_time_s",
            "source_interface",
            "writable",
            "write_min",
            "write_max",
            "enum",
            "latest",
        )


class SeriesSerializer(serializers.Serializer[Any]):
    """Values over time; two lists of equal length."""

    tag = serializers.CharField()
    unit = serializers.CharField()
    ts = serializers.ListField(child=serializers.FloatField(), help_text="Epoch seconds, ascending")
    values = serializers.ListField(child=serializers.FloatField())


def points_found(
    *, asset: str = "", kind: str = "", quantity: str = "", search: str = ""
) -> QuerySet[Point]:
    """Points with asset and latest reading, filtered; every word of ``search`` must occur."""
    found = Point.objects.select_related("asset", "latest").order_by("tag")
    if asset:
        found = found.filter(asset__tag=asset)
    if kind:
        found = found.filter(asset__kind=kind)
    if quantity:
        found = found.filter(quantity=quantity)
    for word in search.split()[:8]:
        found = found.filter(Q(tag__icontains=word) | Q(name__icontains=word))
    return found


@extend_schema_view(
    get=extend_schema(
        operation_id="points_list",
        summary="Data list",
        parameters=[
            OpenApiParameter("asset", str, description="Tag of an asset"),
            OpenApiParameter("kind", str, enum=AssetKind.values, description="Kind of asset"),
            OpenApiParameter("quantity", str, description="For example supply_c"),
            OpenApiParameter("search", str, description="Words in tag or name"),
        ],
    )
)
class PointList(generics.ListAPIView[Point]):
    """Points, by tag."""

    serializer_class = PointSerializer
    pagination_class = Pages
    queryset = Point.objects.none()

    def get_queryset(self) -> QuerySet[Point]:
        """Apply the filters of the query string."""
        return points_found(
            asset=text(self.request, "asset"),
            kind=choice(self.request, "kind", AssetKind.values),
            quantity=text(self.request, "quantity"),
            search=text(self.request, "search"),
        )


@extend_schema_view(get=extend_schema(operation_id="points_read", summary="One point"))
class PointDetail(generics.RetrieveAPIView[Point]):
    """One point."""

    serializer_class = PointSerializer
    queryset = Point.objects.select_related("asset", "latest")
    lookup_field = "tag"

    def get_object(self) -> Point:
        """Find the point by its tag."""
        _refuse_nul(self.kwargs["tag"])
        return super().get_object()


def _refuse_nul(tag: str) -> None:
    """PostgreSQL takes no NUL; such a tag names nothing."""
    if "\0" in tag:
        raise NotFound("a tag has no NUL character")


class PointSeries(APIView):
    """Values of one point over time."""

    @extend_schema(
        operation_id="points_series",
        summary="Values over time",
        description=(
            "At most `max_points` values from `start` to `end` (default: the last hour). When "
            "there are more, each interval gives its lowest and its highest reading."
        ),
        parameters=[
            OpenApiParameter("start", OpenApiTypes.DATETIME, description="ISO 8601 or epoch s"),
            OpenApiParameter("end", OpenApiTypes.DATETIME, description="ISO 8601 or epoch s"),
            OpenApiParameter("max_points", int, description=f"2 to {MAX_SERIES_POINTS}"),
        ],
        responses=SeriesSerializer,
    )
    def get(self, request: Request, tag: str) -> Response:
        """Return the series."""
        _refuse_nul(tag)
        end = moment(request, "end", datetime.now(UTC))
        start = moment(request, "start", end - timedelta(hours=1))
        if start >= end:
            raise refuse("start", f"{start.isoformat()} is not before end {end.isoformat()}")
        max_points = whole(request, "max_points", 500, 2, MAX_SERIES_POINTS)
        try:
            series = point_series(tag=tag, start=start, end=end, max_points=max_points)
        except Point.DoesNotExist:
            raise NotFound(f"point {tag[:150]} is not in the data list") from None
        return Response(series._asdict())
