"""The data list: points with their latest values; edited, accepted, exported and imported."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as ModelError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.permissions import SAFE_METHODS, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.converters.units import UnitError, ucum
from facilities.datalist import (
    ImportPlan,
    ImportProblems,
    StalePlan,
    export_csv,
    export_yaml,
    import_apply,
    import_plan,
)
from facilities.models import LatestReading, Point
from facilities.models.asset import AssetKind
from facilities.models.point import Stage
from facilities.stages import points_verify, with_stage

from .common import Pages, choice, flag, refuse, text
from .sources import MayManageSources

MAX_IMPORT_BYTES = 20_000_000


class LatestSerializer(serializers.ModelSerializer[LatestReading]):
    """A point's newest reading."""

    class Meta:
        model = LatestReading
        fields = ("ts", "value", "quality", "received_at")


class PointSerializer(serializers.ModelSerializer[Point]):
    """One line of the data list."""

    asset = serializers.CharField(source="asset.tag", read_only=True)
    kind = serializers.ChoiceField(source="asset.kind", choices=AssetKind.choices, read_only=True)
    source = serializers.CharField(  # type: ignore[assignment]  # hides Field.source
        source="source.name", read_only=True, default=None
    )
    stage = serializers.ChoiceField(choices=Stage.choices, read_only=True)
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
            "haystack",
            "unit",
            "min_value",
            "max_value",
            "precision",
            "sampling_interval_s",
            "response_time_s",
            "source_interface",
            "source",
            "owner",
            "stage",
            "verified",
            "writable",
            "write_min",
            "write_max",
            "enum",
            "latest",
        )
        read_only_fields = ("tag", "quantity", "writable", "write_min", "write_max")

    def validate_unit(self, value: str) -> str:
        """Refuse what is no UCUM code."""
        try:
            ucum(value)
        except UnitError as error:
            raise ValidationError(str(error)) from error
        return value

    def update(self, instance: Point, validated_data: dict[str, Any]) -> Point:
        """Change the line; limits that contradict one another are named."""
        accepted = validated_data.pop("verified", None)
        for field, value in validated_data.items():
            setattr(instance, field, value)
        try:
            instance.clean()
        except ModelError as error:
            raise ValidationError(error.message_dict) from error
        with transaction.atomic():
            instance.save()
            if accepted:
                points_verify(
                    points=Point.objects.filter(pk=instance.pk),
                    user=self.context["request"].user,
                )
            elif accepted is False:
                Point.objects.filter(pk=instance.pk).update(
                    verified=False, verified_at=None, verified_by=None
                )
        return with_stage(Point.objects.select_related("asset", "latest", "source")).get(
            pk=instance.pk
        )


def points_found(
    *,
    asset: str = "",
    kind: str = "",
    quantity: str = "",
    search: str = "",
    source: str = "",
    stage: str = "",
) -> QuerySet[Point]:
    """Points with asset, source, stage and latest reading; every word of ``search`` must occur."""
    found = with_stage(Point.objects.select_related("asset", "latest", "source")).order_by("tag")
    if asset:
        found = found.filter(asset__tag=asset)
    if kind:
        found = found.filter(asset__kind=kind)
    if quantity:
        found = found.filter(quantity=quantity)
    if source:
        found = found.filter(source__name=source)
    if stage:
        found = found.filter(Q(("stage", stage)))  # annotated, so mypy does not know it
    for word in search.split()[:8]:
        found = found.filter(Q(tag__icontains=word) | Q(name__icontains=word))
    return found


def _found(request: Request) -> QuerySet[Point]:
    return points_found(
        asset=text(request, "asset"),
        kind=choice(request, "kind", AssetKind.values),
        quantity=text(request, "quantity"),
        search=text(request, "search"),
        source=text(request, "source"),
        stage=choice(request, "stage", Stage.values),
    )


FILTERS = [
    OpenApiParameter("asset", str, description="Tag of an asset"),
    OpenApiParameter("kind", str, enum=AssetKind.values, description="Kind of asset"),
    OpenApiParameter("quantity", str, description="For example supply_c"),
    OpenApiParameter("search", str, description="Words in tag or name"),
    OpenApiParameter("source", str, description="Name of a source"),
    OpenApiParameter("stage", str, enum=Stage.values, description="raw, verified or ai_ready"),
]


@extend_schema_view(
    get=extend_schema(operation_id="points_list", summary="Data list", parameters=FILTERS)
)
class PointList(generics.ListAPIView[Point]):
    """Points, by tag."""

    serializer_class = PointSerializer
    pagination_class = Pages
    queryset = Point.objects.none()

    def get_queryset(self) -> QuerySet[Point]:
        """Apply the filters of the query string."""
        return _found(self.request)


class MayEditPoints(MayManageSources):
    """Everybody reads; supervisors and above change."""

    message = "Your role does not change the data list; ask a supervisor."

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Check ``facilities.manage_sources`` for changes."""
        return request.method in SAFE_METHODS or super().has_permission(request, view)


@extend_schema_view(
    get=extend_schema(operation_id="points_read", summary="One point"),
    patch=extend_schema(operation_id="points_update", summary="Change a point's line"),
)
class PointDetail(generics.RetrieveUpdateAPIView[Point]):
    """One point."""

    serializer_class = PointSerializer
    permission_classes = [IsAuthenticated, MayEditPoints]
    http_method_names = ["get", "patch", "head", "options"]
    queryset = with_stage(Point.objects.select_related("asset", "latest", "source"))
    lookup_field = "tag"

    def get_object(self) -> Point:
        """Find the point by its tag."""
        _refuse_nul(self.kwargs["tag"])
        return super().get_object()


def _refuse_nul(tag: str) -> None:
    """PostgreSQL takes no NUL; such a tag names nothing."""
    if "\0" in tag:
        raise NotFound("a tag has no NUL character")


class VerifySerializer(serializers.Serializer[Any]):
    """Points to accept by their tags."""

    tags = serializers.ListField(
        child=serializers.CharField(max_length=141), min_length=1, max_length=1_000
    )


class VerifiedSerializer(serializers.Serializer[Any]):
    """How many points became verified."""

    verified = serializers.IntegerField()


class PointsVerify(APIView):
    """Accept raw points."""

    permission_classes = [IsAuthenticated, MayManageSources]

    @extend_schema(
        operation_id="points_verify",
        summary="Accept raw points as they stand",
        request=VerifySerializer,
        responses=VerifiedSerializer,
    )
    def post(self, request: Request) -> Response:
        """Accept the points; those that are verified already count for nothing."""
        asked = VerifySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        points = Point.objects.filter(tag__in=asked.validated_data["tags"])
        return Response({"verified": points_verify(points=points, user=request.user)})


class PointsExport(APIView):
    """The data list as a file."""

    @extend_schema(
        operation_id="points_export",
        summary="Data list as CSV or YAML",
        parameters=[*FILTERS, OpenApiParameter("as", str, enum=["csv", "yaml"])],
        responses={(200, "text/csv"): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> HttpResponse:
        """Return every point that the filters find."""
        kind = choice(request, "as", ("csv", "yaml")) or "csv"
        points = _found(request)
        body = export_csv(points) if kind == "csv" else export_yaml(points)
        answer = HttpResponse(body, content_type=f"text/{kind}; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="points.{kind}"'
        return answer


class TextParser(BaseParser):
    """A CSV or YAML body as text."""

    media_type = "text/*"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        """Read at most ``MAX_IMPORT_BYTES`` of UTF-8."""
        body = stream.read(MAX_IMPORT_BYTES + 1)
        if len(body) > MAX_IMPORT_BYTES:
            raise refuse("body", f"is larger than {MAX_IMPORT_BYTES:,} bytes; split the file")
        try:
            return str(body.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise refuse("body", f"is not UTF-8 at byte {error.start}") from error


class YamlParser(TextParser):
    """YAML under its own content type."""

    media_type = "application/yaml"


class PointChangeSerializer(serializers.Serializer[Any]):
    """One point that the file changes."""

    tag = serializers.CharField()
    new = serializers.BooleanField()

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Add ``fields``, whose name the class needs for itself."""
        found = super().get_fields()
        found["fields"] = serializers.ListField(
            child=serializers.JSONField(), help_text="[column, before, after]"
        )
        return found


class PointsImportSerializer(serializers.Serializer[Any]):
    """What an import does, or would do."""

    applied = serializers.BooleanField()
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    digest = serializers.CharField(help_text="Send it back to apply exactly this")
    changes = PointChangeSerializer(many=True)


class PointsImport(APIView):
    """A file of points into the data list."""

    permission_classes = [IsAuthenticated, MayManageSources]
    parser_classes = [TextParser, YamlParser, JSONParser]

    @extend_schema(
        operation_id="points_import",
        summary="Preview or apply a file of points",
        description="Body: text/csv or application/yaml. `dry_run=true` (the default) only shows "
        "the changes; `dry_run=false` applies all or nothing, with `digest` only if they are still "
        "the same.",
        parameters=[
            OpenApiParameter("dry_run", bool, description="Default true"),
            OpenApiParameter("digest", str, description="Of the preview"),
        ],
        request={"text/csv": OpenApiTypes.STR, "application/yaml": OpenApiTypes.STR},
        responses=PointsImportSerializer,
    )
    def post(self, request: Request) -> Response:
        """Compare, and apply if asked."""
        body = request.data
        if not isinstance(body, str):
            raise refuse("body", "send the file itself as text/csv or application/yaml")
        kind = "csv" if "csv" in (request.content_type or "") else "yaml"
        dry_run = flag(request, "dry_run")
        try:
            if dry_run is False:
                digest = text(request, "digest") or None
                plan = import_apply(body, format=kind, digest=digest, user=request.user)
            else:
                plan = import_plan(body, format=kind, user=request.user)
        except ImportProblems as error:
            raise ValidationError({"file": error.problems}) from error
        except StalePlan as error:
            raise ValidationError({"digest": [str(error)]}) from error
        return Response(_shown(plan, applied=dry_run is False))


def _shown(plan: ImportPlan, *, applied: bool) -> dict[str, Any]:
    return {
        "applied": applied,
        "created": plan.created,
        "updated": plan.updated,
        "unchanged": plan.unchanged,
        "digest": plan.digest,
        "changes": [
            {"tag": change.tag, "new": change.new, "fields": change.fields}
            for change in plan.changes[:1_000]
        ],
    }
