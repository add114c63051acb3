"""``POST /api/v1/readings``: sensors push here."""

from __future__ import annotations

from typing import Any, cast

from django.db import transaction
from django.http import HttpResponse
from django.utils.decorators import method_decorator
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from facilities.api.push import take_push
from facilities.ingest.formats.native import NATIVE


class ReadingSerializer(serializers.Serializer[Any]):
    """One reading as a source sends it."""

    point = serializers.CharField(help_text="Tag of the point, for example crac-1.supply_c")
    ts = serializers.DateTimeField(
        help_text="ISO 8601 with time zone; epoch seconds or milliseconds as a number work too"
    )
    value = serializers.FloatField(help_text="In the unit of the point")


class ReadingsSerializer(serializers.Serializer[Any]):
    """A batch of readings, at most 50,000."""

    readings = ReadingSerializer(many=True)


class RejectedSerializer(serializers.Serializer[Any]):
    """Why one item was not taken."""

    index = serializers.IntegerField()
    code = serializers.ChoiceField(
        choices=[
            "unknown_point",
            "bad_value",
            "out_of_range",
            "bad_timestamp",
            "future_timestamp",
            "too_old",
            "malformed",
            "bad_mapping",
            "bad_unit",
            "bad_series",
        ]
    )
    detail = serializers.CharField()


class IngestResultSerializer(serializers.Serializer[Any]):
    """Answer to a batch: everything accepted is durable when this arrives."""

    accepted = serializers.IntegerField()
    rejected = RejectedSerializer(many=True)


class PushErrorSerializer(serializers.Serializer[Any]):
    """A refusal of the whole request."""

    code = serializers.CharField()
    detail = serializers.CharField()


@method_decorator(transaction.non_atomic_requests, name="dispatch")
class ReadingsView(APIView):
    """Take a batch of readings; answer after they are committed."""

    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []

    @extend_schema(
        operation_id="readings_push",
        summary="Push readings",
        description=(
            "Authenticate with `Authorization: Token <source token>`. JSON or NDJSON "
            "(`application/x-ndjson`), optionally gzip. Repeating a batch is safe: a stored "
            "(point, ts) counts as accepted and stays as it is."
        ),
        auth=cast(Any, [{"SourceToken": []}]),
        request={
            "application/json": ReadingsSerializer,
            "application/x-ndjson": ReadingSerializer,
        },
        responses={
            200: IngestResultSerializer,
            400: OpenApiResponse(PushErrorSerializer, "malformed"),
            401: OpenApiResponse(PushErrorSerializer, "bad_token"),
            413: OpenApiResponse(PushErrorSerializer, "too_large"),
            415: OpenApiResponse(PushErrorSerializer, "unsupported media type or encoding"),
            503: OpenApiResponse(PushErrorSerializer, "database_unavailable; see Retry-After"),
        },
        examples=[
            OpenApiExample(
                "two points",
                value={
                    "readings": [
                        {"point": "crac-1.supply_c", "ts": "2026-03-01T12:00:00Z", "value": 18.1},
                        {"point": "crac-1.return_c", "ts": 1772366400, "value": 29.4},
                    ]
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> HttpResponse:
        """Store a batch."""
        return take_push(NATIVE, request._request)
