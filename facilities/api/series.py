"""Values over time: one point, a wall of points, raw readings, CSV, and the alarms beside them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db.models import Q
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.models import Alarm, Point, Reading, Source
from facilities.models.asset import AssetKind
from facilities.series import (
    MAX_SERIES_POINTS,
    MAX_WALL_POINTS,
    METHODS,
    Series,
    point_series,
    wall_series,
)
from facilities.series.read import LEVELS, TooMany

from .common import choice, moment, refuse, text, whole

READINGS_PAGE: Final = 1_000
CSV_ROWS: Final = 100_000
"""Lines of one CSV file; about 6 MB."""

ALARMS_SHOWN: Final = 200

TIMES = [
    OpenApiParameter("start", OpenApiTypes.DATETIME, description="ISO 8601 or epoch seconds"),
    OpenApiParameter("end", OpenApiTypes.DATETIME, description="ISO 8601 or epoch seconds"),
]
SHAPE = [
    OpenApiParameter("max_points", int, description=f"2 to {MAX_SERIES_POINTS}"),
    OpenApiParameter(
        "method",
        str,
        enum=METHODS,
        description=(
            "minmax (default) and m4 keep every excursion, lttb keeps the shape, band gives mean, "
            "low, high, counts and bad of each interval"
        ),
    ),
    OpenApiParameter("level", str, enum=list(LEVELS), description="Default: chosen by the time"),
]


class SeriesSerializer(serializers.Serializer[Any]):
    """Values over time; lists of equal length."""

    tag = serializers.CharField()
    unit = serializers.CharField()
    ts = serializers.ListField(child=serializers.FloatField(), help_text="Epoch seconds, ascending")
    values = serializers.ListField(child=serializers.FloatField(allow_null=True))
    level = serializers.ChoiceField(choices=list(LEVELS), help_text="Where the values come from")
    step_s = serializers.FloatField(help_text="Seconds that a value stands for; 0 for readings")
    flags = serializers.ListField(
        child=serializers.IntegerField(), help_text="QARTOD: 1 good, 2, 3 suspect, 4 fail, 9"
    )
    low = serializers.ListField(
        child=serializers.FloatField(allow_null=True), help_text="With method band over intervals"
    )
    high = serializers.ListField(child=serializers.FloatField(allow_null=True))
    counts = serializers.ListField(child=serializers.IntegerField())
    bad = serializers.ListField(
        child=serializers.IntegerField(), help_text="Readings flagged fail or missing"
    )


class WallSerializer(serializers.Serializer[Any]):
    """The series of many points over the same time."""

    series = SeriesSerializer(many=True)
    unknown = serializers.ListField(
        child=serializers.CharField(), help_text="Tags that are not in the data list"
    )


class RawReadingSerializer(serializers.Serializer[Any]):
    """One reading as it came."""

    ts = serializers.DateTimeField()
    value = serializers.FloatField()
    quality = serializers.IntegerField()
    source = serializers.CharField(allow_null=True)  # type: ignore[assignment]
    received_at = serializers.DateTimeField()
    delay_s = serializers.FloatField(help_text="From the reading's time to its arrival here")


class ReadingsPageSerializer(serializers.Serializer[Any]):
    """Readings, newest first; ``before`` of the next page, or null at the end."""

    results = RawReadingSerializer(many=True)
    next_before = serializers.DateTimeField(allow_null=True)


class AlarmSpanSerializer(serializers.Serializer[Any]):
    """When an alarm of the point was active."""

    id = serializers.IntegerField()
    rule = serializers.CharField()
    severity = serializers.CharField()
    raised_at = serializers.DateTimeField()
    cleared_at = serializers.DateTimeField(allow_null=True)


def window(request: Request, hours: float = 1) -> tuple[datetime, datetime]:
    """Return start and end of the query string; the default is the last ``hours``."""
    end = moment(request, "end", datetime.now(UTC))
    try:
        start = moment(request, "start", end - timedelta(hours=hours))
    except OverflowError:
        raise refuse("end", f"{end.isoformat()} is too far back") from None
    if start >= end:
        raise refuse("start", f"{start.isoformat()} is not before end {end.isoformat()}")
    return start, end


def _shape(request: Request, default: int) -> dict[str, Any]:
    return {
        "max_points": whole(request, "max_points", default, 2, MAX_SERIES_POINTS),
        "method": choice(request, "method", METHODS) or "minmax",
        "level": choice(request, "level", LEVELS),
    }


def _point(tag: str) -> Point:
    """The point of a tag. PostgreSQL takes no NUL; such a tag names nothing."""
    found = None if "\0" in tag else Point.objects.filter(tag=tag).first()
    if found is None:
        raise NotFound(f"point {tag[:150]!r} is not in the data list")
    return found


def _tagged(request: Request, body: dict[str, Any]) -> HttpResponse:
    """JSON with an ETag of its content; 304 when the client has it."""
    content = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
    etag = f'W/"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
    seen = {tag.strip() for tag in request.headers.get("If-None-Match", "").split(",")}
    answer = HttpResponse(status=304) if etag in seen else HttpResponse(content)
    answer["Content-Type"] = "application/json"
    answer["ETag"] = etag
    answer["Cache-Control"] = "private, no-cache"
    return answer


class PointSeries(APIView):
    """Values of one point over time."""

    @extend_schema(
        operation_id="points_series",
        summary="Values over time",
        description=(
            "At most `max_points` values from `start` to `end` (default: the last hour). Readings "
            "when they fit; otherwise each interval gives its lowest and its highest value, from "
            "the readings or from their rollups by minute or hour (`level`). `If-None-Match` with "
            "the answer's `ETag` gives 304 while nothing changed."
        ),
        parameters=[*TIMES, *SHAPE],
        responses=SeriesSerializer,
    )
    def get(self, request: Request, tag: str) -> HttpResponse:
        """Return the series."""
        start, end = window(request)
        options = _shape(request, 500)
        if "\0" in tag:
            raise NotFound("a tag has no NUL character")
        try:
            series = point_series(tag=tag, start=start, end=end, **options)
        except Point.DoesNotExist:
            raise NotFound(f"point {tag[:150]} is not in the data list") from None
        except TooMany as error:
            raise refuse("level", str(error)) from None
        return _tagged(request, series._asdict())


class Wall(APIView):
    """Values of many points over the same time."""

    @extend_schema(
        operation_id="series_wall",
        summary="Values of many points over time",
        description=(
            f"The points are named (`points`, comma separated, at most {MAX_WALL_POINTS}) or found "
            "by `asset`, `kind` and `quantity`. At most 100,000 values in one answer."
        ),
        parameters=[
            OpenApiParameter("points", str, description="Tags, comma separated"),
            OpenApiParameter("asset", str),
            OpenApiParameter("kind", str, enum=AssetKind.values),
            OpenApiParameter("quantity", str, description="For example inlet_c"),
            *TIMES,
            *SHAPE,
        ],
        responses=WallSerializer,
    )
    def get(self, request: Request) -> HttpResponse:
        """Return the series of every point found."""
        start, end = window(request)
        tags = self._tags(request)
        try:
            wall = wall_series(tags=tags, start=start, end=end, **_shape(request, 200))
        except TooMany as error:
            raise refuse("points", str(error)) from None
        known = {series.tag for series in wall}
        return _tagged(
            request,
            {
                "series": [series._asdict() for series in wall],
                "unknown": [tag for tag in tags if tag not in known],
            },
        )

    def _tags(self, request: Request) -> list[str]:
        named = [tag.strip() for tag in text(request, "points").split(",") if tag.strip()]
        if named:
            return list(dict.fromkeys(named))
        asset, quantity = text(request, "asset"), text(request, "quantity")
        kind = choice(request, "kind", AssetKind.values)
        if not (asset or quantity or kind):
            raise refuse("points", "name points, or give asset, kind or quantity")
        found = Point.objects.order_by("tag")
        if asset:
            found = found.filter(asset__tag=asset)
        if kind:
            found = found.filter(asset__kind=kind)
        if quantity:
            found = found.filter(quantity=quantity)
        return list(found.values_list("tag", flat=True)[: MAX_WALL_POINTS + 1])


class PointReadings(APIView):
    """Readings of one point as they came."""

    @extend_schema(
        operation_id="points_readings",
        summary="Readings as they came, newest first",
        parameters=[
            OpenApiParameter("before", OpenApiTypes.DATETIME, description="Older than this only"),
            OpenApiParameter("quality", int, description="One QARTOD flag only"),
            OpenApiParameter("limit", int, description=f"1 to {READINGS_PAGE} (default 50)"),
        ],
        responses=ReadingsPageSerializer,
    )
    def get(self, request: Request, tag: str) -> Response:
        """Return one page."""
        point = _point(tag)
        limit = whole(request, "limit", 50, 1, READINGS_PAGE)
        found = Reading.objects.filter(point=point).order_by("-ts")
        if "before" in request.query_params:
            found = found.filter(ts__lt=moment(request, "before", datetime.now(UTC)))
        if "quality" in request.query_params:
            found = found.filter(quality=whole(request, "quality", 1, 1, 9))
        rows = list(found.values_list("ts", "value", "quality", "source_id", "received_at")[:limit])
        names = dict(Source.objects.filter(pk__in={r[3] for r in rows}).values_list("pk", "name"))
        results = [
            {
                "ts": ts,
                "value": value,
                "quality": quality,
                "source": names.get(source),
                "received_at": received,
                "delay_s": round((received - ts).total_seconds(), 3),
            }
            for ts, value, quality, source, received in rows
        ]
        more = rows[-1][0] if len(rows) == limit else None
        return Response({"results": results, "next_before": more})


class PointExport(APIView):
    """A point's values as a CSV file."""

    @extend_schema(
        operation_id="points_series_csv",
        summary="Values as CSV",
        description=f"At most {CSV_ROWS} lines; a longer time is refused, never cut short.",
        parameters=[
            *TIMES,
            OpenApiParameter("level", str, enum=list(LEVELS), description="Default: raw"),
        ],
        responses={(200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, description="CSV")},
    )
    def get(self, request: Request, tag: str) -> HttpResponse:
        """Return the file."""
        point = _point(tag)
        start, end = window(request)
        level = choice(request, "level", LEVELS) or "raw"
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\r\n")
        if level == "raw":
            self._raw(point, start, end, writer)
        else:
            self._sums(point, start, end, level, writer)
        answer = HttpResponse(out.getvalue(), content_type="text/csv; charset=utf-8")
        name = f"{point.tag}_{start:%Y%m%dT%H%M%SZ}_{end:%Y%m%dT%H%M%SZ}_{level}.csv"
        answer["Content-Disposition"] = f'attachment; filename="{name}"'
        return answer

    def _raw(self, point: Point, start: datetime, end: datetime, writer: Any) -> None:
        rows = list(
            Reading.objects.filter(point=point, ts__gte=start, ts__lte=end)
            .order_by("ts")
            .values_list("ts", "value", "quality", "received_at")[: CSV_ROWS + 1]
        )
        if len(rows) > CSV_ROWS:
            raise refuse(
                "start",
                f"more than {CSV_ROWS} readings of {point.tag} lie between {start.isoformat()} "
                f"and {end.isoformat()}; ask for a shorter time, or for level=1m",
            )
        writer.writerow(["ts", f"value_{point.unit or '1'}", "quality", "received_at"])
        for ts, value, quality, received in rows:
            writer.writerow([ts.isoformat(), repr(value), quality, received.isoformat()])

    def _sums(self, point: Point, start: datetime, end: datetime, level: str, writer: Any) -> None:
        length_s = 60 if level == "1m" else 3600
        most = int((end - start).total_seconds() // length_s) + 2
        if most > MAX_SERIES_POINTS:
            raise refuse(
                "start",
                f"{most} intervals of {level} are more than {MAX_SERIES_POINTS}; ask for a "
                "shorter time or a coarser level",
            )
        series: Series = point_series(
            tag=point.tag, start=start, end=end, max_points=max(most, 2), method="band", level=level
        )
        writer.writerow(["start", "mean", "low", "high", "count", "bad", "quality"])
        for ts, mean, low, high, count, bad, flag in zip(
            series.ts, series.values, series.low, series.high, series.counts, series.bad,
            series.flags, strict=True,
        ):  # fmt: skip
            begin = datetime.fromtimestamp(ts - series.step_s / 2, UTC).isoformat()
            writer.writerow([begin, *map(_cell, (mean, low, high)), count, bad, flag])


def _cell(value: float | None) -> str:
    return "" if value is None else repr(value)


class PointAlarms(APIView):
    """When alarms of one point were active, for its chart."""

    @extend_schema(
        operation_id="points_alarms",
        summary="Alarms that were active in a time",
        parameters=TIMES,
        responses=AlarmSpanSerializer(many=True),
    )
    def get(self, request: Request, tag: str) -> Response:
        """Return the alarms, newest first."""
        point = _point(tag)
        start, end = window(request)
        found = (
            Alarm.objects.filter(Q(cleared_at__isnull=True) | Q(cleared_at__gte=start))
            .filter(point=point, raised_at__lte=end)
            .order_by("-raised_at")
            .values("id", "severity", "raised_at", "cleared_at", "rule__name")[:ALARMS_SHOWN]
        )
        rows = [
            {
                "id": row["id"],
                "rule": row["rule__name"],
                "severity": row["severity"],
                "raised_at": row["raised_at"],
                "cleared_at": row["cleared_at"],
            }
            for row in found
        ]
        return Response(AlarmSpanSerializer(rows, many=True).data)
