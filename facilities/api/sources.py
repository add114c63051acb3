"""Sources, for those who manage them. A token leaves once, when it is issued; no hash ever."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as ModelError
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics, serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.models import Source
from facilities.services.sources import (
    IssuedToken,
    SourceExists,
    source_create,
    source_revoke,
    source_rotate,
    source_update,
)

from .common import Pages


class MayManageSources(BasePermission):
    """Supervisors and above."""

    message = "Your role does not manage sources; ask a supervisor."

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Check ``facilities.manage_sources``."""
        return request.user.has_perm("facilities.manage_sources")


class SourceSerializer(serializers.ModelSerializer[Source]):
    """A source without its secret."""

    allowed_networks = serializers.ListField(child=serializers.CharField(), required=False)
    silent = serializers.BooleanField(read_only=True)

    class Meta:
        model = Source
        fields = (
            "id",
            "name",
            "owner",
            "active",
            "expires_at",
            "allowed_networks",
            "max_readings_per_s",
            "heartbeat_timeout_s",
            "auto_register",
            "auto_register_limit",
            "kept_messages",
            "last_seen_at",
            "silent",
            "created_at",
        )
        read_only_fields = ("last_seen_at", "created_at")


class IssuedSerializer(serializers.Serializer[Any]):
    """A source with its token in clear, which is not shown again."""

    source = SourceSerializer()  # type: ignore[assignment]  # hides Field.source
    token = serializers.CharField()


class RotateSerializer(serializers.Serializer[Any]):
    """Until when the new token works; nothing: without an end."""

    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


def _issued(issued: IssuedToken) -> dict[str, Any]:
    return {"source": SourceSerializer(issued.source).data, "token": issued.token}


def _refused(error: ModelError) -> ValidationError:
    return ValidationError(error.message_dict)


@extend_schema_view(get=extend_schema(operation_id="sources_list", summary="Sources"))
class SourceList(generics.ListAPIView[Source]):
    """Sources, by name."""

    serializer_class = SourceSerializer
    pagination_class = Pages
    permission_classes = [IsAuthenticated, MayManageSources]
    queryset = Source.objects.order_by("name")

    @extend_schema(
        operation_id="sources_create",
        summary="Create a source; its token is shown only now",
        request=SourceSerializer,
        responses={201: IssuedSerializer},
    )
    def post(self, request: Request) -> Response:
        """Create a source."""
        asked = SourceSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            issued = source_create(**asked.validated_data, by=request.user.get_username())
        except SourceExists as error:
            raise ValidationError({"name": [str(error)]}) from error
        except ModelError as error:
            raise _refused(error) from error
        return Response(_issued(issued), status=status.HTTP_201_CREATED)


@extend_schema_view(
    get=extend_schema(operation_id="sources_read", summary="One source"),
)
class SourceDetail(generics.RetrieveAPIView[Source]):
    """One source."""

    serializer_class = SourceSerializer
    permission_classes = [IsAuthenticated, MayManageSources]
    queryset = Source.objects.all()

    @extend_schema(
        operation_id="sources_update",
        summary="Change a source's settings",
        request=SourceSerializer(partial=True),
        responses=SourceSerializer,
    )
    def patch(self, request: Request, pk: int) -> Response:
        """Change what the body names."""
        source = self.get_object()
        asked = SourceSerializer(source, data=request.data, partial=True)
        asked.is_valid(raise_exception=True)
        try:
            source = source_update(source_id=source.pk, **asked.validated_data)
        except ModelError as error:
            raise _refused(error) from error
        return Response(SourceSerializer(source).data)


class SourceRotate(generics.GenericAPIView[Source]):
    """A new token for a source."""

    serializer_class = RotateSerializer
    permission_classes = [IsAuthenticated, MayManageSources]
    queryset = Source.objects.all()

    @extend_schema(
        operation_id="sources_rotate",
        summary="Replace the token; the new one is shown only now",
        request=RotateSerializer,
        responses=IssuedSerializer,
    )
    def post(self, request: Request, pk: int) -> Response:
        """Issue a new token; the old one stops within a second."""
        source = self.get_object()
        asked = RotateSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return Response(
            _issued(
                source_rotate(
                    source_id=source.pk,
                    expires_at=asked.validated_data["expires_at"],
                    by=request.user.get_username(),
                )
            )
        )


class SourceRevoke(generics.GenericAPIView[Source]):
    """The end of a token."""

    serializer_class = SourceSerializer
    permission_classes = [IsAuthenticated, MayManageSources]
    queryset = Source.objects.all()

    @extend_schema(
        operation_id="sources_revoke",
        summary="Switch a source off and destroy its token",
        request=None,
        responses=SourceSerializer,
    )
    def post(self, request: Request, pk: int) -> Response:
        """Revoke."""
        return Response(
            SourceSerializer(
                source_revoke(source_id=self.get_object().pk, by=request.user.get_username())
            ).data
        )
