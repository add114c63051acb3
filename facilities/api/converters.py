"""Converters of sources, ready maps, and derived points."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as ModelError
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics, serializers, status
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.converters.derived_graph import derived_save
from facilities.converters.document import DocumentError
from facilities.converters.maps import ready_maps
from facilities.converters.preview import preview
from facilities.models import Converter, DerivedPoint, Point, Source
from facilities.services.converters import converter_save

from .common import Pages
from .points import MayEditPoints
from .sources import MayManageSources


class ConverterSerializer(serializers.ModelSerializer[Converter]):
    """A source's converter."""

    source = serializers.CharField(  # type: ignore[assignment]  # hides Field.source
        source="source.name", read_only=True
    )
    updated_by = serializers.CharField(
        source="updated_by.username", read_only=True, default=None, allow_null=True
    )
    document = serializers.CharField(
        allow_blank=True, max_length=100_000, trim_whitespace=False, help_text="YAML"
    )

    class Meta:
        model = Converter
        fields = ("source", "document", "enabled", "updated_at", "updated_by")


class ConverterDocumentSerializer(serializers.Serializer[Any]):
    """A document to try."""

    document = serializers.CharField(allow_blank=True, max_length=100_000, trim_whitespace=False)


class PreviewLineSerializer(serializers.Serializer[Any]):
    """One series of the last messages, and what becomes of it."""

    series = serializers.CharField()
    given = serializers.CharField()
    result = serializers.ChoiceField(choices=["point", "new", "dropped", "quarantine"])
    point = serializers.CharField()
    unit = serializers.CharField()
    value = serializers.FloatField(allow_null=True)
    rule = serializers.CharField()
    problem = serializers.CharField()


class PreviewSerializer(serializers.Serializer[Any]):
    """A preview."""

    messages = serializers.IntegerField()
    series = serializers.IntegerField()
    counts = serializers.DictField(child=serializers.IntegerField())
    lines = PreviewLineSerializer(many=True)


class ReadyMapSerializer(serializers.Serializer[Any]):
    """A map that documents may use by its name."""

    name = serializers.CharField()
    description = serializers.CharField()
    rules = serializers.IntegerField()
    text = serializers.CharField()


def _source(pk: int) -> Source:
    source = Source.objects.filter(pk=pk).first()
    if source is None:
        raise NotFound(f"there is no source {pk}")
    return source


class SourceConverter(APIView):
    """The converter of one source."""

    permission_classes = [IsAuthenticated, MayManageSources]

    @extend_schema(
        operation_id="converters_read",
        summary="A source's converter",
        responses=ConverterSerializer,
    )
    def get(self, request: Request, pk: int) -> Response:
        """Return the document; an empty one when there is none."""
        source = _source(pk)
        found = Converter.objects.select_related("source", "updated_by").filter(source=source)
        return Response(ConverterSerializer(found.first() or Converter(source=source)).data)

    @extend_schema(
        operation_id="converters_save",
        summary="Replace a source's converter",
        request=ConverterSerializer,
        responses=ConverterSerializer,
    )
    def put(self, request: Request, pk: int) -> Response:
        """Check and save; in force with the next request."""
        asked = ConverterSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            saved = converter_save(
                source=_source(pk),
                document=asked.validated_data["document"],
                enabled=asked.validated_data.get("enabled", True),
                user=request.user,
            )
        except DocumentError as error:
            raise ValidationError({"document": error.problems}) from error
        return Response(ConverterSerializer(saved).data)


class ConverterPreview(APIView):
    """A document tried on the source's last messages."""

    permission_classes = [IsAuthenticated, MayManageSources]

    @extend_schema(
        operation_id="converters_preview",
        summary="Try a converter on the last messages",
        request=ConverterDocumentSerializer,
        responses=PreviewSerializer,
    )
    def post(self, request: Request, pk: int) -> Response:
        """Change nothing; show what would become of each series."""
        asked = ConverterDocumentSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            made = preview(source=_source(pk), document=asked.validated_data["document"])
        except DocumentError as error:
            raise ValidationError({"document": error.problems}) from error
        return Response(PreviewSerializer(made).data)


class ReadyMapList(APIView):
    """Ready maps."""

    @extend_schema(
        operation_id="converter_maps_list",
        summary="Ready maps for common agents",
        responses=ReadyMapSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """Every map with its text."""
        return Response(ReadyMapSerializer(list(ready_maps().values()), many=True).data)


class DerivedSerializer(serializers.ModelSerializer[DerivedPoint]):
    """A derived point."""

    point = serializers.SlugRelatedField("tag", queryset=Point.objects.all())

    class Meta:
        model = DerivedPoint
        fields = ("id", "point", "expression", "max_age_s", "enabled", "problem", "updated_at")
        read_only_fields = ("problem", "updated_at")

    def create(self, validated_data: dict[str, Any]) -> DerivedPoint:
        """Check against all others and save."""
        return self._saved(DerivedPoint(**validated_data))

    def update(self, instance: DerivedPoint, validated_data: dict[str, Any]) -> DerivedPoint:
        """Check against all others and save."""
        for field, value in validated_data.items():
            setattr(instance, field, value)
        return self._saved(instance)

    def _saved(self, derived: DerivedPoint) -> DerivedPoint:
        try:
            return derived_save(derived=derived)
        except ModelError as error:
            raise ValidationError(error.message_dict) from error


@extend_schema_view(
    get=extend_schema(operation_id="derived_points_list", summary="Derived points"),
    post=extend_schema(
        operation_id="derived_points_create",
        summary="Make a point a computed one",
        responses={status.HTTP_201_CREATED: DerivedSerializer},
    ),
)
class DerivedList(generics.ListCreateAPIView[DerivedPoint]):
    """Derived points, by tag."""

    serializer_class = DerivedSerializer
    pagination_class = Pages
    permission_classes = [IsAuthenticated, MayEditPoints]

    def get_queryset(self) -> QuerySet[DerivedPoint]:
        """All of them with their points."""
        return DerivedPoint.objects.select_related("point").order_by("point__tag")


@extend_schema_view(
    get=extend_schema(operation_id="derived_points_read", summary="One derived point"),
    patch=extend_schema(operation_id="derived_points_update", summary="Change the expression"),
    delete=extend_schema(operation_id="derived_points_delete", summary="Stop computing a point"),
)
class DerivedDetail(generics.RetrieveUpdateDestroyAPIView[DerivedPoint]):
    """One derived point; its readings stay when it is deleted."""

    serializer_class = DerivedSerializer
    permission_classes = [IsAuthenticated, MayEditPoints]
    http_method_names = ["get", "patch", "delete", "head", "options"]
    queryset = DerivedPoint.objects.select_related("point")
