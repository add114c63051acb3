"""What moved with a point, or with the point of an alarm."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.correlation import correlate, correlate_alarm
from facilities.models import Alarm, Point

from .common import moment, refuse, whole

MAX_LIMIT = 100


class MatchSerializer(serializers.Serializer[Any]):
    """One point that moved with the other."""

    tag = serializers.CharField()
    name = serializers.CharField()
    asset = serializers.CharField()
    unit = serializers.CharField()
    basis = serializers.CharField(help_text="What agrees: level, change or quick change")
    r = serializers.FloatField(help_text="Correlation at the lag, -1 to 1")
    lag_s = serializers.FloatField(help_text="Above 0: it follows; below 0: it leads")
    pairs = serializers.IntegerField(help_text="Pairs of values compared")
    effective = serializers.FloatField(help_text="Independent pairs among them")
    q = serializers.FloatField(help_text="Share of chance finds up to this one")
    distance = serializers.IntegerField(allow_null=True, help_text="Links between the two assets")
    path = serializers.ListField(child=serializers.CharField(), help_text="Assets on the way")
    certain = serializers.FloatField(help_text="|r| less its doubt (lower 95 % limit)")
    proximity = serializers.FloatField(help_text="1 on the same asset, less with every link")
    score = serializers.FloatField(help_text="certain x proximity; the order of the list")
    why = serializers.CharField()
    overlay = serializers.ListField(
        child=serializers.FloatField(allow_null=True),
        help_text="Standard deviations along ts, shifted by the lag, turned over when r < 0",
    )


class CorrelationSerializer(serializers.Serializer[Any]):
    """What moved with a point, best first."""

    tag = serializers.CharField()
    unit = serializers.CharField()
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    step_s = serializers.FloatField()
    max_lag_s = serializers.FloatField()
    points = serializers.IntegerField(help_text="Points that were compared")
    significant = serializers.IntegerField(help_text="Points that moved with it beyond chance")
    reason = serializers.CharField(help_text="Why nothing is listed; empty otherwise")
    ts = serializers.ListField(child=serializers.FloatField(), help_text="Epoch seconds")
    overlay = serializers.ListField(child=serializers.FloatField(allow_null=True))
    matches = MatchSerializer(many=True)
    ms = serializers.DictField(child=serializers.FloatField(), help_text="Milliseconds by part")


_LIMIT = OpenApiParameter("limit", int, description=f"1 to {MAX_LIMIT}, default 20")


class PointCorrelated(APIView):
    """Points that moved with a point."""

    @extend_schema(
        operation_id="points_correlated",
        summary="What moved with a point",
        description=(
            "Points ranked by lagged correlation and by distance in the plant, from `start` to "
            "`end` (default: the last hour; two minutes to six hours). Chance finds are held to "
            "5 % of the list, with regard to each series' own memory and to the number tried."
        ),
        parameters=[
            OpenApiParameter("start", OpenApiTypes.DATETIME, description="ISO 8601 or epoch s"),
            OpenApiParameter("end", OpenApiTypes.DATETIME, description="ISO 8601 or epoch s"),
            OpenApiParameter(
                "max_lag_s", int, description="Up to a third of the window; default a sixth"
            ),
            _LIMIT,
        ],
        responses=CorrelationSerializer,
    )
    def get(self, request: Request, tag: str) -> Response:
        """Return the points."""
        if "\0" in tag:
            raise NotFound("a tag has no NUL character")
        end = moment(request, "end", datetime.now(UTC))
        start = moment(request, "start", end - timedelta(hours=1))
        lag = whole(request, "max_lag_s", 0, 0, 7_200) if "max_lag_s" in request.GET else None
        try:
            found = correlate(tag=tag, start=start, end=end, max_lag_s=lag, limit=_limit(request))
        except Point.DoesNotExist:
            raise NotFound(f"point {tag[:150]} is not in the data list") from None
        except ValueError as error:
            raise refuse(
                "max_lag_s" if "max_lag_s" in str(error) else "start", str(error)
            ) from None
        return Response(CorrelationSerializer(asdict(found)).data)


class AlarmCorrelated(APIView):
    """Points that moved with an alarm's point."""

    @extend_schema(
        operation_id="alarms_correlated",
        summary="What moved with the point of an alarm",
        description="From 45 minutes before the alarm was raised to 15 minutes after, or to now.",
        parameters=[_LIMIT],
        responses=CorrelationSerializer,
    )
    def get(self, request: Request, pk: int) -> Response:
        """Return the points."""
        alarm = Alarm.objects.select_related("point").filter(pk=pk).first()
        if alarm is None:
            raise NotFound(f"there is no alarm {pk}")
        found = correlate_alarm(alarm=alarm, limit=_limit(request))
        return Response(CorrelationSerializer(asdict(found)).data)


def _limit(request: Request) -> int:
    return whole(request, "limit", 20, 1, MAX_LIMIT)
