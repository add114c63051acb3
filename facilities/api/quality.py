"""Quality: verdicts of points, scores of assets, the three steps of sources, trends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    extend_schema,
    extend_schema_field,
    extend_schema_view,
)
from rest_framework import generics, serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.models import Asset, Point, PointQuality, Source
from facilities.models.asset import AssetKind
from facilities.models.quality import Scope
from facilities.quality import reads

from .common import Pages, choice, moment, refuse, text, whole


class QualityTestSerializer(serializers.Serializer[Any]):
    """What one test says."""

    name = serializers.CharField()
    flag = serializers.IntegerField()
    detail = serializers.CharField()


class PointQualitySerializer(serializers.ModelSerializer[PointQuality]):
    """The newest verdict on a point. Scores are shares from 0 to 1, null when not measured."""

    tag = serializers.CharField(source="point.tag")
    asset = serializers.CharField(source="point.asset.tag")
    unit = serializers.CharField(source="point.unit")
    flag = serializers.IntegerField(help_text="1 good, 2 unknown, 3 suspect, 4 fail, 9 missing")
    standing = serializers.IntegerField(help_text="What new readings carry at least")
    tests = serializers.SerializerMethodField()

    class Meta:
        model = PointQuality
        fields = (
            "tag",
            "asset",
            "unit",
            "flag",
            "standing",
            "since",
            "computed_at",
            "window_s",
            "readings",
            "expected",
            "flagged",
            "interval_s",
            "delay_s",
            "completeness",
            "timeliness",
            "validity",
            "precision",
            "score",
            "tests",
        )

    @extend_schema_field(QualityTestSerializer(many=True))
    def get_tests(self, row: PointQuality) -> list[dict[str, Any]]:
        """Tests by name."""
        return [{"name": name, **found} for name, found in sorted(row.tests.items())]


@extend_schema_view(
    get=extend_schema(
        operation_id="quality_points_list",
        summary="Quality of points, worst first",
        parameters=[
            OpenApiParameter("flag", str, enum=list(reads.FLAGS)),
            OpenApiParameter("asset", str, description="Tag of an asset"),
            OpenApiParameter("kind", str, enum=AssetKind.values),
            OpenApiParameter("search", str, description="Words of tag or name"),
            OpenApiParameter("order", str, enum=list(reads.ORDERS)),
        ],
    )
)
class PointQualityList(generics.ListAPIView[PointQuality]):
    """Verdicts of all points."""

    serializer_class = PointQualitySerializer
    pagination_class = Pages
    queryset = PointQuality.objects.none()

    def get_queryset(self) -> QuerySet[PointQuality]:
        """Apply the filters of the query string."""
        return reads.point_verdicts(
            flag=choice(self.request, "flag", reads.FLAGS),
            asset=text(self.request, "asset"),
            kind=choice(self.request, "kind", AssetKind.values),
            search=text(self.request, "search"),
            order=choice(self.request, "order", reads.ORDERS) or "score",
        )


@extend_schema_view(get=extend_schema(operation_id="quality_point", summary="Quality of a point"))
class PointQualityDetail(generics.RetrieveAPIView[PointQuality]):
    """One point's verdict."""

    serializer_class = PointQualitySerializer
    queryset = PointQuality.objects.select_related("point__asset")

    def get_object(self) -> PointQuality:
        """Find it by the point's tag."""
        tag = self.kwargs["tag"]
        found = None if "\0" in tag else self.get_queryset().filter(point__tag=tag).first()
        if found is None:
            raise NotFound(f"there is no verdict on a point {tag[:150]!a}")
        return found


class AssetScoreSerializer(serializers.Serializer[Any]):
    """Means over an asset's points."""

    tag = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.CharField()
    points = serializers.IntegerField()
    bad = serializers.IntegerField(help_text="Points that are suspect, failed or missing")
    completeness = serializers.FloatField(allow_null=True)
    timeliness = serializers.FloatField(allow_null=True)
    validity = serializers.FloatField(allow_null=True)
    precision = serializers.FloatField(allow_null=True)
    score = serializers.FloatField(allow_null=True)


@extend_schema_view(
    get=extend_schema(
        operation_id="quality_assets_list",
        summary="Quality of assets, worst first",
        parameters=[
            OpenApiParameter("kind", str, enum=AssetKind.values),
            OpenApiParameter("search", str, description="Words of tag or name"),
        ],
    )
)
class AssetQualityList(generics.GenericAPIView[Any]):
    """Scores of all assets that have points."""

    serializer_class = AssetScoreSerializer
    pagination_class = Pages
    queryset = Asset.objects.none()

    def get(self, request: Request) -> Response:
        """Return one page."""
        found = reads.asset_scores(
            kind=choice(request, "kind", AssetKind.values), search=text(request, "search")
        )
        page = self.paginate_queryset(found) or []
        rows = [reads.asset_score(row)._asdict() for row in page]
        return self.get_paginated_response(AssetScoreSerializer(rows, many=True).data)


class FlowStepSerializer(serializers.Serializer[Any]):
    """One of the three steps. Seconds; ``lost`` is what went in and did not come out."""

    name = serializers.ChoiceField(["performance", "transform", "transfer"])
    into = serializers.IntegerField()
    out = serializers.IntegerField()
    lost = serializers.IntegerField()
    mean_s = serializers.FloatField(allow_null=True)
    max_s = serializers.FloatField(allow_null=True)
    meaning = serializers.CharField()


class SourceStepsSerializer(serializers.Serializer[Any]):
    """A source's flow over the span asked for."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    last_seen_at = serializers.DateTimeField(allow_null=True)
    requests = serializers.IntegerField()
    refused = serializers.IntegerField()
    bytes = serializers.IntegerField()
    received = serializers.IntegerField()
    rejected = serializers.IntegerField()
    flagged = serializers.IntegerField()
    late = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    stored = serializers.IntegerField()
    per_s = serializers.FloatField()
    steps = FlowStepSerializer(many=True)
    score = serializers.FloatField(allow_null=True)


class SourceQualityList(generics.GenericAPIView[Source]):
    """Sources with performance → transform → transfer."""

    serializer_class = SourceStepsSerializer
    pagination_class = Pages
    queryset = Source.objects.none()

    @extend_schema(
        operation_id="quality_sources_list",
        summary="The three steps of every source",
        parameters=[OpenApiParameter("minutes", int, description="1 to 1440, default 60")],
    )
    def get(self, request: Request) -> Response:
        """Return one page."""
        minutes = whole(request, "minutes", 60, 1, 1440)
        page = self.paginate_queryset(reads.sources_found()) or []
        found = reads.source_steps(sources=list(page), now=datetime.now(UTC), minutes=minutes)
        rows = [steps.as_dict() for steps in found]
        return self.get_paginated_response(SourceStepsSerializer(rows, many=True).data)


class TrendSerializer(serializers.Serializer[Any]):
    """Columns of equal length, by hour, oldest first; shares from 0 to 1 or null."""

    scope = serializers.ChoiceField(Scope.choices)
    key = serializers.CharField()
    ts = serializers.ListField(child=serializers.FloatField(), help_text="Epoch seconds")
    completeness = serializers.ListField(child=serializers.FloatField(allow_null=True))
    timeliness = serializers.ListField(child=serializers.FloatField(allow_null=True))
    validity = serializers.ListField(child=serializers.FloatField(allow_null=True))
    precision = serializers.ListField(child=serializers.FloatField(allow_null=True))
    score = serializers.ListField(child=serializers.FloatField(allow_null=True))


PARTS = ("completeness", "timeliness", "validity", "precision", "score")


def trend_of(scope: str, key: str, since: datetime) -> dict[str, Any]:
    """The trend as columns. Raises ``NotFound`` when the key names nothing."""
    number: int | None = 0
    if scope == Scope.POINT:
        number = Point.objects.filter(tag=key).values_list("pk", flat=True).first()
    elif scope == Scope.ASSET:
        number = Asset.objects.filter(tag=key).values_list("pk", flat=True).first()
    elif scope == Scope.SOURCE:
        number = Source.objects.filter(name=key).values_list("pk", flat=True).first()
    if number is None:
        raise NotFound(f"there is no {scope} {key[:150]!a}")
    rows = list(reads.score_trend(scope=scope, key=number, since=since))
    return {
        "scope": scope,
        "key": key,
        "ts": [row.hour.timestamp() for row in rows],
        **{part: [getattr(row, part) for row in rows] for part in PARTS},
    }


class QualityTrendView(APIView):
    """Scores by hour."""

    @extend_schema(
        operation_id="quality_trend",
        summary="Scores by hour",
        parameters=[
            OpenApiParameter("scope", str, enum=Scope.values, description="default facility"),
            OpenApiParameter("key", str, description="Tag of the point or asset, name of source"),
            OpenApiParameter("start", OpenApiTypes.DATETIME, description="default: a week ago"),
        ],
        responses=TrendSerializer,
    )
    def get(self, request: Request) -> Response:
        """Return the columns."""
        scope = choice(request, "scope", Scope.values) or str(Scope.FACILITY)
        key = text(request, "key")
        if scope != Scope.FACILITY and not key:
            raise refuse("key", f"a trend of scope {scope} needs its key")
        start = moment(request, "start", datetime.now(UTC) - timedelta(days=7))
        return Response(trend_of(scope, key, start))
