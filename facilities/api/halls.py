"""Hall maps over time: plan, frames, happenings, incidents, and the twin's view of both."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.hallmap.ahead import HORIZON_S, NoTwin, prediction
from facilities.hallmap.events import happenings
from facilities.hallmap.frames import MAX_FRAMES, MAX_SAMPLES, frames, wanted_points
from facilities.hallmap.incidents import LISTED, incidents
from facilities.hallmap.layers import LAYERS, keys_of
from facilities.hallmap.plan import hall_plan
from facilities.hallmap.replay import replay
from facilities.models import Hall

from .common import refuse, text, whole
from .series import TIMES, window

MAX_STEP_S: Final = 86_400
STEP = OpenApiParameter("step_s", int, description=f"Seconds between frames, 1 to {MAX_STEP_S}")


class UnitSerializer(serializers.Serializer[Any]):
    """One asset of the plan; metres from the south-west corner, null outside the hall."""

    tag = serializers.CharField()
    kind = serializers.CharField()
    name = serializers.CharField()
    x_m = serializers.FloatField(allow_null=True)
    y_m = serializers.FloatField(allow_null=True)
    row = serializers.IntegerField()
    front = serializers.IntegerField(help_text="-1: its cold side looks to smaller y, 1: larger")
    rated = serializers.FloatField(allow_null=True, help_text="W; of a CRAC m³/s at full speed")
    role = serializers.CharField()
    feeds = serializers.ListField(child=serializers.CharField(), help_text="What feeds it")
    cools = serializers.ListField(child=serializers.CharField(), help_text="What cools it")
    holds = serializers.IntegerField(help_text="Servers in a rack")


class LineSerializer(serializers.Serializer[Any]):
    """A network link."""

    tag = serializers.CharField()
    name = serializers.CharField()
    ends = serializers.ListField(child=serializers.CharField())
    racks = serializers.ListField(child=serializers.CharField())
    capacity_gbps = serializers.FloatField()


class HallPlanSerializer(serializers.Serializer[Any]):
    """A hall to scale, and the plant behind it."""

    slug = serializers.CharField()
    name = serializers.CharField()
    width_m = serializers.FloatField()
    depth_m = serializers.FloatField()
    units = UnitSerializer(many=True)
    lines = LineSerializer(many=True)
    behind = UnitSerializer(many=True)


class FramesSerializer(serializers.Serializer[Any]):
    """Values by tag at ``start + n * step_s``; null where nothing was known."""

    start = serializers.FloatField(help_text="Epoch seconds of the first frame")
    step_s = serializers.FloatField()
    count = serializers.IntegerField()
    source = serializers.ChoiceField(  # type: ignore[assignment]  # hides Field.source
        choices=["readings", "minutes", "twin"],
        help_text="minutes: each value is the mean of its step, of a state the worst",
    )
    values = serializers.DictField(
        child=serializers.ListField(child=serializers.FloatField(allow_null=True))
    )
    flags = serializers.DictField(
        child=serializers.ListField(child=serializers.ListField(child=serializers.IntegerField())),
        help_text="By tag: [first frame, frames, QARTOD flag] of values that are not good",
    )


class TwinFramesSerializer(FramesSerializer):
    """Frames that the twin computed."""

    fitness = serializers.DictField(help_text="How well each quantity was predicted lately")
    followed = serializers.BooleanField(help_text="Whether the twin has been following the plant")
    closure = serializers.FloatField(help_text="Largest relative error of the energy balance")


class AlarmPeriodSerializer(serializers.Serializer[Any]):
    """When an alarm was active."""

    id = serializers.IntegerField()
    asset = serializers.CharField()
    rack = serializers.CharField(allow_null=True, help_text="Rack that the asset stands in")
    point = serializers.CharField()
    rule = serializers.CharField()
    severity = serializers.CharField()
    raised_at = serializers.DateTimeField()
    cleared_at = serializers.DateTimeField(allow_null=True)
    acknowledged_at = serializers.DateTimeField(allow_null=True)
    group = serializers.IntegerField(help_text="Alarm that heads its group")
    suppressed = serializers.BooleanField()


class MapEventSerializer(serializers.Serializer[Any]):
    """One line of the timeline."""

    at = serializers.DateTimeField()
    kind = serializers.CharField()
    asset = serializers.CharField()
    text = serializers.CharField()
    href = serializers.CharField()
    tone = serializers.CharField()


class HappeningsSerializer(serializers.Serializer[Any]):
    """What happened, by time."""

    alarms = AlarmPeriodSerializer(many=True)
    events = MapEventSerializer(many=True)
    cut = serializers.BooleanField(help_text="There were more than one answer holds")


class IncidentSerializer(serializers.Serializer[Any]):
    """A group of alarms as a period to play back."""

    id = serializers.IntegerField(help_text="Alarm that heads the group")
    title = serializers.CharField()
    asset = serializers.CharField()
    severity = serializers.CharField()
    raised_at = serializers.DateTimeField()
    cleared_at = serializers.DateTimeField(allow_null=True)
    alarms = serializers.IntegerField()
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()


class TwinUnavailable(APIException):
    """The site cannot be simulated."""

    status_code = 409
    default_code = "no_twin"


def _hall(slug: str) -> Hall:
    try:
        if "\0" in slug:  # PostgreSQL takes no NUL; such a slug names nothing
            raise Hall.DoesNotExist
        return Hall.objects.get(slug=slug)
    except Hall.DoesNotExist:
        raise NotFound(f"no hall {slug} is loaded") from None


def _layers(request: Request) -> list[str]:
    asked = text(request, "layers")
    return [name.strip() for name in asked.split(",") if name.strip()] if asked else list(LAYERS)


class HallPlanView(APIView):
    """Plan of one hall."""

    @extend_schema(
        operation_id="halls_plan", summary="Plan of a hall", responses=HallPlanSerializer
    )
    def get(self, request: Request, slug: str) -> Response:
        """Return what stands where."""
        return Response(hall_plan(_hall(slug).slug).as_dict())


class HallFrames(APIView):
    """Values of one hall over time."""

    @extend_schema(
        operation_id="halls_frames",
        summary="Frames of a hall",
        description=(
            f"Values at equal steps, columns by tag: at most {MAX_FRAMES} frames and "
            f"{MAX_SAMPLES} values. Below 60 s a frame holds the newest reading at or before its "
            "time, from there on means of the rollup by minute."
        ),
        parameters=[
            *TIMES,
            STEP,
            OpenApiParameter("layers", str, description=f"Of {', '.join(LAYERS)}; default: all"),
        ],
        responses={200: FramesSerializer, 400: OpenApiResponse(description="Too much, or wrong")},
    )
    def get(self, request: Request, slug: str) -> Response:
        """Return the frames."""
        start, end = window(request)
        step_s = whole(request, "step_s", 10, 1, MAX_STEP_S)
        hall = _hall(slug)
        try:
            points = wanted_points(hall.pk, keys_of(_layers(request)))
        except ValueError as error:
            raise refuse("layers", str(error)) from None
        try:
            found = frames(points, start=start, end=end, step_s=step_s)
        except ValueError as error:
            raise refuse("step_s", str(error)) from None
        return Response(found.as_dict())


class HallEvents(APIView):
    """What happened in one hall."""

    @extend_schema(
        operation_id="halls_events",
        summary="Alarms, setpoint changes and decisions of a hall over a period",
        parameters=TIMES,
        responses=HappeningsSerializer,
    )
    def get(self, request: Request, slug: str) -> Response:
        """Return alarms and events."""
        start, end = window(request)
        return Response(happenings(hall_id=_hall(slug).pk, start=start, end=end).as_dict())


class HallIncidents(APIView):
    """Alarm groups to play back."""

    @extend_schema(
        operation_id="halls_incidents",
        summary="Alarm groups of a hall, newest first",
        parameters=[OpenApiParameter("limit", int, description=f"1 to {LISTED}")],
        responses=IncidentSerializer(many=True),
    )
    def get(self, request: Request, slug: str) -> Response:
        """Return the groups."""
        limit = whole(request, "limit", LISTED, 1, LISTED)
        return Response([asdict(one) for one in incidents(hall_id=_hall(slug).pk, limit=limit)])


class HallPrediction(APIView):
    """The next half hour."""

    @extend_schema(
        operation_id="halls_prediction",
        summary="The twin's next 30 minutes if nobody does anything",
        parameters=[STEP],
        responses={200: TwinFramesSerializer, 409: OpenApiResponse(description="no_twin")},
    )
    def get(self, request: Request, slug: str) -> Response:
        """Return frames of the prediction."""
        step_s = whole(request, "step_s", 30, 5, HORIZON_S)
        try:
            return Response(prediction(_hall(slug), step_s=step_s))
        except NoTwin as error:
            raise TwinUnavailable(str(error)) from None


class HallReplay(APIView):
    """The twin over a past period."""

    @extend_schema(
        operation_id="halls_replay",
        summary="What the twin makes of a past period, to lay beside the measured frames",
        description=(
            "The twin starts from the readings at `start` and then knows commands, load and "
            "weather only. At most two hours."
        ),
        parameters=[*TIMES, STEP],
        responses={200: TwinFramesSerializer, 409: OpenApiResponse(description="no_twin")},
    )
    def get(self, request: Request, slug: str) -> Response:
        """Return frames of the replay."""
        start, end = window(request)
        step_s = whole(request, "step_s", 10, 5, MAX_STEP_S)
        try:
            return Response(replay(_hall(slug), start=start, end=end, step_s=step_s))
        except NoTwin as error:
            raise TwinUnavailable(str(error)) from None
        except ValueError as error:
            raise refuse("start", str(error)) from None
