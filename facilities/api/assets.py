"""Assets and the overview of a hall."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.models import Asset, Hall
from facilities.models.asset import AssetKind
from facilities.selectors import hall_overview

from .common import Pages, choice, text


class AssetSerializer(serializers.ModelSerializer[Asset]):
    """One asset."""

    site = serializers.CharField(source="site.slug", read_only=True)
    hall = serializers.CharField(source="hall.slug", read_only=True, allow_null=True, default=None)
    rack = serializers.CharField(source="rack.tag", read_only=True, allow_null=True, default=None)
    parent = serializers.CharField(  # type: ignore[assignment]  # DRF sets its own parent later
        source="parent.tag", read_only=True, allow_null=True, default=None
    )

    class Meta:
        model = Asset
        fields = ("tag", "name", "kind", "site", "hall", "rack", "parent", "attributes")


@extend_schema_view(
    get=extend_schema(
        operation_id="assets_list",
        summary="Assets",
        parameters=[
            OpenApiParameter("kind", str, enum=AssetKind.values),
            OpenApiParameter("hall", str, description="Slug of a hall"),
            OpenApiParameter("rack", str, description="Tag of a rack"),
        ],
    )
)
class AssetList(generics.ListAPIView[Asset]):
    """Assets, by tag."""

    serializer_class = AssetSerializer
    pagination_class = Pages
    queryset = Asset.objects.none()

    def get_queryset(self) -> QuerySet[Asset]:
        """Apply the filters of the query string."""
        found = Asset.objects.select_related("site", "hall", "rack", "parent").order_by("tag")
        if kind := choice(self.request, "kind", AssetKind.values):
            found = found.filter(kind=kind)
        if hall := text(self.request, "hall"):
            found = found.filter(hall__slug=hall)
        if rack := text(self.request, "rack"):
            found = found.filter(rack__tag=rack)
        return found


class RackOverviewSerializer(serializers.Serializer[Any]):
    """A rack on the hall map."""

    tag = serializers.CharField()
    row = serializers.IntegerField()
    position = serializers.IntegerField()
    x_m = serializers.FloatField()
    y_m = serializers.FloatField()
    rated_w = serializers.FloatField()
    inlet_c = serializers.FloatField(allow_null=True)
    outlet_c = serializers.FloatField(allow_null=True)
    power_w = serializers.FloatField(allow_null=True)
    servers = serializers.IntegerField()


class CracOverviewSerializer(serializers.Serializer[Any]):
    """A cooling unit on the hall map."""

    tag = serializers.CharField()
    name = serializers.CharField()
    x_m = serializers.FloatField(allow_null=True)
    y_m = serializers.FloatField(allow_null=True)
    running = serializers.BooleanField(allow_null=True)
    fault = serializers.BooleanField(allow_null=True)
    supply_c = serializers.FloatField(allow_null=True)
    return_c = serializers.FloatField(allow_null=True)
    fan_speed_pct = serializers.FloatField(allow_null=True)


class HallOverviewSerializer(serializers.Serializer[Any]):
    """One hall at a glance."""

    slug = serializers.CharField()
    name = serializers.CharField()
    width_m = serializers.FloatField()
    depth_m = serializers.FloatField()
    racks = RackOverviewSerializer(many=True)
    cracs = CracOverviewSerializer(many=True)
    it_power_w = serializers.FloatField(allow_null=True)
    facility_power_w = serializers.FloatField(allow_null=True)
    pue = serializers.FloatField(allow_null=True)
    max_inlet_c = serializers.FloatField(allow_null=True)
    max_inlet_rack = serializers.CharField(allow_null=True)
    ts = serializers.DateTimeField(allow_null=True)
    flags = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="QARTOD flag by point tag of every value here that is not good",
    )


class FacilityOverview(APIView):
    """A hall at a glance."""

    @extend_schema(
        operation_id="facility_overview",
        summary="Hall overview",
        parameters=[OpenApiParameter("hall", str, description="Slug; default: the first hall")],
        responses=HallOverviewSerializer,
    )
    def get(self, request: Request) -> Response:
        """Return the overview."""
        slug = text(request, "hall") or None
        try:
            overview = hall_overview(hall_slug=slug)
        except Hall.DoesNotExist as error:
            raise NotFound(f"there is no hall {slug}" if slug else str(error)) from None
        return Response(asdict(overview))
