"""Change freezes and maintenance windows over REST."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from approvals.api.policy_serializers import (
    ChangeWindowSerializer,
    OccurrenceSerializer,
    WindowCancelSerializer,
    WindowRequestSerializer,
)
from approvals.api.views import REFUSALS, GateView
from approvals.models import ChangeWindow
from approvals.policy.calendar import occurrences
from approvals.services.windows import window_cancel, window_create

MOST_WEEKS = 26


class WindowListView(GateView, generics.ListAPIView[ChangeWindow]):
    """Windows, those that start last first; cancelled and past ones too."""

    serializer_class = ChangeWindowSerializer

    def get_queryset(self) -> QuerySet[ChangeWindow]:
        return ChangeWindow.objects.select_related("made_by", "cancelled_by")

    @extend_schema(
        operation_id="policy_window_create",
        request=WindowRequestSerializer,
        responses={201: ChangeWindowSerializer, **REFUSALS},
    )
    def post(self, request: Request) -> Response:
        """Plan a freeze, or a maintenance window (which needs the password or a code again)."""
        window = window_create(
            user=self.person, request=request._request, **self.parsed(WindowRequestSerializer)
        )
        return Response(ChangeWindowSerializer(window).data, status=status.HTTP_201_CREATED)


class WindowCancelView(GateView):
    @extend_schema(
        operation_id="policy_window_cancel",
        request=WindowCancelSerializer,
        responses={200: ChangeWindowSerializer, **REFUSALS},
    )
    def post(self, request: Request, pk: int) -> Response:
        """End a window from now on; lifting a freeze needs the password or a code again."""
        window = window_cancel(
            window_id=pk,
            user=self.person,
            request=request._request,
            **self.parsed(WindowCancelSerializer),
        )
        return Response(ChangeWindowSerializer(window).data)


class CalendarView(GateView):
    @extend_schema(
        operation_id="policy_calendar",
        parameters=[OpenApiParameter("weeks", int, description="1 to 26, default 4")],
        responses=OccurrenceSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """When windows stand in the coming weeks, in order."""
        weeks = request.query_params.get("weeks", "4")
        if not weeks.isdecimal() or not 1 <= int(weeks) <= MOST_WEEKS:
            raise ValidationError(
                {"weeks": f"{weeks!r} is no number of weeks from 1 to {MOST_WEEKS}"}
            )
        now = timezone.now()
        found = occurrences(after=now, before=now + timedelta(weeks=int(weeks)))
        return Response(OccurrenceSerializer(found, many=True).data)
