"""The quarantine: searched, replayed, discarded."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.models import QuarantinedItem, QuarantineState
from facilities.services.quarantine import quarantine_discard, quarantine_found, quarantine_replay

from .common import Pages, choice, moment, text
from .sources import MayManageSources

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)

FILTERS = [
    OpenApiParameter("source", str, description="Name of a source"),
    OpenApiParameter("code", str, description="Reason, for example unknown_point"),
    OpenApiParameter("state", str, enum=QuarantineState.values),
    OpenApiParameter("search", str, description="Words in series, raw text or sentence"),
    OpenApiParameter("since", OpenApiTypes.DATETIME, description="Received at or after"),
    OpenApiParameter("until", OpenApiTypes.DATETIME, description="Received before"),
]


class QuarantinedItemSerializer(serializers.ModelSerializer[QuarantinedItem]):
    """One rejected item."""

    source = serializers.CharField(source="source.name")  # type: ignore[assignment]  # hides Field.source

    class Meta:
        model = QuarantinedItem
        fields = (
            "id",
            "source",
            "at",
            "code",
            "detail",
            "series",
            "ts_us",
            "value",
            "text",
            "raw",
            "state",
            "attempts",
            "decided_at",
        )

    def to_representation(self, instance: QuarantinedItem) -> dict[str, Any]:
        """JSON has no NaN: a value that is none is null."""
        shown = super().to_representation(instance)
        if shown["value"] is not None and not math.isfinite(shown["value"]):
            shown["value"] = None
        return shown


class QuarantineSelectionSerializer(serializers.Serializer[Any]):
    """Items by id; none: everything that the filters of the query find."""

    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1), required=False, max_length=10_000
    )


class QuarantineReplaySerializer(serializers.Serializer[Any]):
    """Counts of a replay."""

    tried = serializers.IntegerField()
    stored = serializers.IntegerField()
    repeated = serializers.IntegerField(help_text="The reading was there already")
    waiting = serializers.IntegerField(help_text="Still refused")
    reasons = serializers.DictField(child=serializers.IntegerField())


class QuarantineDiscardedSerializer(serializers.Serializer[Any]):
    """How many items were discarded."""

    discarded = serializers.IntegerField()


def found(request: Request) -> QuerySet[QuarantinedItem]:
    """Items by the query string."""
    since = moment(request, "since", _NEVER)
    until = moment(request, "until", _NEVER)
    return quarantine_found(
        source=text(request, "source"),
        code=text(request, "code"),
        state=choice(request, "state", QuarantineState.values),
        search=text(request, "search"),
        since=None if since == _NEVER else since,
        until=None if until == _NEVER else until,
    )


def selected(request: Request) -> QuerySet[QuarantinedItem]:
    """Items by the ids of the body, or by the query string."""
    asked = QuarantineSelectionSerializer(data=request.data)
    asked.is_valid(raise_exception=True)
    items = found(request)
    ids = asked.validated_data.get("ids")
    return items if ids is None else items.filter(pk__in=ids)


@extend_schema_view(
    get=extend_schema(operation_id="quarantine_list", summary="Rejected items", parameters=FILTERS)
)
class QuarantineList(generics.ListAPIView[QuarantinedItem]):
    """Rejected items, newest first."""

    serializer_class = QuarantinedItemSerializer
    pagination_class = Pages
    permission_classes = [IsAuthenticated, MayManageSources]
    queryset = QuarantinedItem.objects.none()

    def get_queryset(self) -> QuerySet[QuarantinedItem]:
        """Apply the filters of the query string."""
        return found(self.request)


class QuarantineReplay(APIView):
    """A second chance."""

    permission_classes = [IsAuthenticated, MayManageSources]

    @extend_schema(
        operation_id="quarantine_replay",
        summary="Try waiting items again, each stored exactly once",
        parameters=FILTERS,
        request=QuarantineSelectionSerializer,
        responses=QuarantineReplaySerializer,
    )
    def post(self, request: Request) -> Response:
        """Replay the selection, at most 50,000 items."""
        return Response(quarantine_replay(items=selected(request))._asdict())


class QuarantineDiscard(APIView):
    """The end of items that nobody wants."""

    permission_classes = [IsAuthenticated, MayManageSources]

    @extend_schema(
        operation_id="quarantine_discard",
        summary="Discard waiting items",
        parameters=FILTERS,
        request=QuarantineSelectionSerializer,
        responses=QuarantineDiscardedSerializer,
    )
    def post(self, request: Request) -> Response:
        """Discard the selection."""
        return Response({"discarded": quarantine_discard(items=selected(request))})
