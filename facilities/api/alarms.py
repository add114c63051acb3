"""Alarms: list and acknowledge."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import F, QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.exceptions import NotFound
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.alarms.payload import AlarmSerializer
from facilities.alarms.services import alarm_acknowledge
from facilities.models import Alarm
from facilities.models.alarm import Severity
from facilities.selectors import alarms

from .common import Pages, choice, flag, text


class MayAcknowledge(BasePermission):
    """Operators and above."""

    message = "Your role does not acknowledge alarms; ask an operator."

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Check ``facilities.acknowledge_alarm``."""
        return request.user.has_perm("facilities.acknowledge_alarm")


@extend_schema_view(
    get=extend_schema(
        operation_id="alarms_list",
        summary="Alarms",
        parameters=[
            OpenApiParameter("open", bool, description="true: active; false: cleared"),
            OpenApiParameter("severity", str, enum=Severity.values),
            OpenApiParameter("asset", str, description="Tag of an asset"),
            OpenApiParameter("point", str, description="Tag of a point"),
        ],
    )
)
class AlarmList(generics.ListAPIView[Alarm]):
    """Alarms: active ones first, worst first, then newest."""

    serializer_class = AlarmSerializer
    pagination_class = Pages
    queryset = Alarm.objects.none()

    def get_queryset(self) -> QuerySet[Alarm]:
        """Apply the filters of the query string."""
        found = alarms()
        is_open = flag(self.request, "open")
        if is_open is not None:
            found = found.filter(cleared_at__isnull=is_open)
        if severity := choice(self.request, "severity", Severity.values):
            found = found.filter(severity=severity)
        if asset := text(self.request, "asset"):
            found = found.filter(point__asset__tag=asset)
        if point := text(self.request, "point"):
            found = found.filter(point__tag=point)
        return found.order_by(*CONSOLE_ORDER)


CONSOLE_ORDER = (F("cleared_at").desc(nulls_first=True), "severity_rank", "-raised_at", "-id")
"""Active first, worst first; then the most recently cleared."""


class AcknowledgeSerializer(serializers.Serializer[Any]):
    """What the operator says."""

    note = serializers.CharField(max_length=500, allow_blank=True, default="")


class AlarmAcknowledge(APIView):
    """Acknowledge an alarm."""

    permission_classes = [IsAuthenticated, MayAcknowledge]

    @extend_schema(
        operation_id="alarms_acknowledge",
        summary="Acknowledge",
        description="Repeating it changes nothing: the first acknowledgement stands.",
        request=AcknowledgeSerializer,
        responses=AlarmSerializer,
    )
    def post(self, request: Request, pk: int) -> Response:
        """Acknowledge and return the alarm."""
        body = AcknowledgeSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        try:
            done = alarm_acknowledge(
                alarm_id=pk,
                user=cast(AbstractBaseUser, request.user),
                note=body.validated_data["note"],
            )
        except Alarm.DoesNotExist:
            raise NotFound(f"there is no alarm {pk}") from None
        return Response(AlarmSerializer(done.alarm).data)
