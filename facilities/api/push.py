"""The push addresses as Django views: their documentation, and the door under WSGI and in tests.

In production ``ingest/asgi.py`` answers before Django is asked.
"""

from __future__ import annotations

import logging
import time
from typing import Any, cast

from django.conf import settings
from django.db import DatabaseError, InterfaceError, transaction
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from facilities.ingest.auth import authenticate
from facilities.ingest.errors import IngestError, database_away, too_large
from facilities.ingest.formats import Format
from facilities.ingest.formats.alertmanager import ALERTMANAGER
from facilities.ingest.formats.influx import INFLUX_V1, INFLUX_V2
from facilities.ingest.formats.otlp import OTLP
from facilities.ingest.formats.prometheus import PROMETHEUS
from facilities.ingest.formats.redfish import REDFISH
from facilities.ingest.service import ingest
from facilities.ingest.wire import Response

logger = logging.getLogger(__name__)


def take_push(wire: Format, request: HttpRequest) -> HttpResponse:
    """Take a push that came through Django (WSGI, tests); ``ingest/asgi.py`` is the usual door.

    The same stages, on the request's own database connection.
    """
    headers = {name.lower(): value for name, value in request.headers.items()}
    query = {name: values[0] for name, values in request.GET.lists() if isinstance(values[0], str)}
    try:
        response = _stored(wire, request, headers, query)
    except IngestError as error:
        response = wire.refuse(error, headers)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("a push is refused, the database is away: %s", error)
        response = wire.refuse(database_away(), headers)
    return HttpResponse(
        response.body,
        status=response.status,
        content_type=response.content_type,
        headers=response.headers,
    )


def _stored(
    wire: Format, request: HttpRequest, headers: dict[str, str], query: dict[str, str]
) -> Response:
    limit = settings.MAX_INGEST_BYTES
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > limit:
        raise too_large(limit)
    sender = authenticate(
        wire.token(headers, query), address=str(request.META.get("REMOTE_ADDR", ""))
    )
    body = request.read(limit + 1)
    if len(body) > limit:
        raise too_large(limit)
    samples = wire.decode(
        body, headers.get("content-type", ""), headers, query, time.time_ns() // 1_000, limit
    )
    strict = wire.name == "native"
    result = ingest(samples=samples, sender=sender, strict=strict, format_name=wire.name)
    return wire.answer(result, headers, query)


@method_decorator(transaction.non_atomic_requests, name="dispatch")
class PushView(APIView):
    """One wire format; ``wire`` says which."""

    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []
    wire: Format


_BYTES = OpenApiTypes.BINARY
_ANYTHING = OpenApiTypes.OBJECT
_TEXT = OpenApiTypes.STR


def _documented(
    wire: Format,
    *,
    name: str,
    summary: str,
    takes: dict[str, Any],
    good: dict[int, str],
    query: dict[str, str] | None = None,
) -> Any:
    refusals = {
        400: "the body or some of its items are refused; the good items are stored",
        401: "missing, unknown, switched off or expired token",
        413: "too large",
        415: "unsupported media type or encoding",
        429: "the source's rate limit; see Retry-After",
        503: "busy or without database; see Retry-After",
    }
    document = extend_schema(
        operation_id=name,
        summary=summary,
        description=(
            "Answered when the readings are durable; repeating a request is safe. Details in "
            "docs/push-formats.md."
        ),
        auth=cast(Any, [{"SourceToken": []}]),
        parameters=[
            OpenApiParameter(key, str, OpenApiParameter.QUERY, description=text)
            for key, text in (query or {}).items()
        ],
        request=takes,
        responses={
            code: OpenApiResponse(description=text) for code, text in {**good, **refusals}.items()
        },
        tags=["push"],
    )

    def post(self: PushView, request: Request) -> HttpResponse:
        return take_push(self.wire, request._request)

    members = {"wire": wire, "post": document(post)}
    view: Any = type(f"{name.title().replace('_', '')}View", (PushView,), members)
    return view.as_view()


influx_v2_push = _documented(
    INFLUX_V2,
    name="influx_v2_push",
    summary="Push InfluxDB line protocol (Telegraf, influxdb-client)",
    takes={"text/plain": _TEXT},
    good={204: "stored"},
    query={"precision": "ns (default), us, ms or s", "org": "ignored", "bucket": "ignored"},
)
influx_v1_push = _documented(
    INFLUX_V1,
    name="influx_v1_push",
    summary="Push InfluxDB line protocol, version 1",
    takes={"text/plain": _TEXT},
    good={204: "stored"},
    query={"precision": "n (default), u, ms, s, m or h", "db": "ignored"},
)
prometheus_push = _documented(
    PROMETHEUS,
    name="prometheus_push",
    summary="Prometheus remote write 1.0 and 2.0",
    takes={"application/x-protobuf": _BYTES},
    good={204: "stored"},
)
otlp_push = _documented(
    OTLP,
    name="otlp_push",
    summary="OpenTelemetry metrics over HTTP",
    takes={"application/x-protobuf": _BYTES, "application/json": _ANYTHING},
    good={200: "stored; partial_success tells what was not"},
)
redfish_push = _documented(
    REDFISH,
    name="redfish_push",
    summary="Redfish MetricReport and event",
    takes={"application/json": _ANYTHING},
    good={200: "stored", 204: "stored"},
)
alertmanager_push = _documented(
    ALERTMANAGER,
    name="alertmanager_push",
    summary="Alertmanager webhook, version 4",
    takes={"application/json": _ANYTHING},
    good={200: "stored", 204: "stored"},
)
