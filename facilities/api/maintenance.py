"""Maintenance windows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.exceptions import NotFound
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.models import Asset, Hall, MaintenanceWindow

from .alarm_access import Cleaned, MayManageAlarms
from .common import Pages, flag


class WindowSerializer(Cleaned):
    """A maintenance window. At least one of asset, hall and asset kind."""

    asset = serializers.SlugRelatedField(
        slug_field="tag", queryset=Asset.objects.all(), allow_null=True, default=None
    )
    hall = serializers.SlugRelatedField(
        slug_field="slug", queryset=Hall.objects.all(), allow_null=True, default=None
    )
    scope = serializers.CharField(read_only=True)
    created_by = serializers.CharField(
        source="created_by.username", read_only=True, allow_null=True, default=None
    )

    class Meta:
        model = MaintenanceWindow
        fields = (
            "id",
            "asset",
            "hall",
            "asset_kind",
            "starts_at",
            "ends_at",
            "reason",
            "covers_safety",
            "scope",
            "created_by",
            "created_at",
        )
        read_only_fields = ("created_at",)


@extend_schema_view(
    get=extend_schema(
        operation_id="maintenance_windows_list",
        summary="Maintenance windows",
        parameters=[OpenApiParameter("over", bool, description="true: past; false: now or later")],
    ),
    post=extend_schema(operation_id="maintenance_windows_create", summary="Plan a window"),
)
class WindowList(generics.ListCreateAPIView[MaintenanceWindow]):
    """Windows, latest start first."""

    serializer_class = WindowSerializer
    pagination_class = Pages
    permission_classes = [IsAuthenticated, MayManageAlarms]

    def get_queryset(self) -> QuerySet[MaintenanceWindow]:
        """Filter by whether they are over."""
        found = MaintenanceWindow.objects.select_related("asset", "hall", "created_by")
        over = flag(self.request, "over")
        if over is None:
            return found
        past = {"ends_at__lte": timezone.now()}
        return found.filter(**past) if over else found.exclude(**past)

    def perform_create(self, serializer: Any) -> None:
        """Remember who planned it."""
        serializer.save(created_by=self.request.user)


class WindowEnd(APIView):
    """End a window now."""

    permission_classes = [IsAuthenticated, MayManageAlarms]

    @extend_schema(
        operation_id="maintenance_windows_end",
        summary="End a window now",
        description="A window that has not started is withdrawn. Alarms still active are then told.",
        request=None,
        responses=WindowSerializer,
    )
    def post(self, request: Request, pk: int) -> Response:
        """End it; repeating it changes nothing."""
        window = MaintenanceWindow.objects.filter(pk=pk).first()
        if window is None:
            raise NotFound(f"there is no maintenance window {pk}")
        now = timezone.now()
        if window.ends_at > now:
            window.starts_at = min(window.starts_at, now - timedelta(microseconds=1))
            window.ends_at = now
            window.save(update_fields=["starts_at", "ends_at"])
        return Response(WindowSerializer(window).data)
