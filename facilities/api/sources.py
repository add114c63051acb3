"""Sources, for those who manage them. No token and no hash ever leaves."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView

from facilities.models import Source

from .common import Pages


class MayManageSources(BasePermission):
    """Supervisors and above."""

    message = "Your role does not manage sources; ask a supervisor."

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Check ``facilities.manage_sources``."""
        return request.user.has_perm("facilities.manage_sources")


class SourceSerializer(serializers.ModelSerializer[Source]):
    """A source without its secret."""

    class Meta:
        model = Source
        fields = ("name", "active", "expires_at", "last_seen_at", "created_at")


@extend_schema_view(get=extend_schema(operation_id="sources_list", summary="Sources"))
class SourceList(generics.ListAPIView[Source]):
    """Sources, by name."""

    serializer_class = SourceSerializer
    pagination_class = Pages
    permission_classes = [IsAuthenticated, MayManageSources]
    queryset = Source.objects.order_by("name")
