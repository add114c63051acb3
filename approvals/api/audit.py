"""The audit trail: list, verify, and take it elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import islice
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiTypes, extend_schema
from rest_framework import generics
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from approvals import selectors
from approvals.anchors import anchors_as_lines, trail_as_lines
from approvals.api.serializers import (
    AuditEntrySerializer,
    AuditFilterSerializer,
    AuditVerdictSerializer,
)
from approvals.audit import audit_verify
from approvals.models import AuditEntry

LINES_IN_A_CHUNK = 200
JSON_LINES = "application/x-ndjson"


class AuditListView(generics.ListAPIView[AuditEntry]):
    """The trail, newest first."""

    serializer_class = AuditEntrySerializer

    def get_queryset(self) -> QuerySet[AuditEntry]:
        asked = AuditFilterSerializer(data=self.request.query_params)
        asked.is_valid(raise_exception=True)
        wanted = dict(asked.validated_data)
        return selectors.audit_search(obj=wanted.pop("object", ""), **wanted)

    @extend_schema(parameters=[AuditFilterSerializer])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List audit entries."""
        return super().get(request, *args, **kwargs)


class AuditVerifyView(APIView):
    @extend_schema(responses=AuditVerdictSerializer)
    def get(self, request: Request) -> Response:
        """Walk the hash chain and name the first entry that does not hold."""
        return Response(audit_verify()._asdict())


class JsonLinesRenderer(BaseRenderer):
    """Lets clients ask for JSON Lines; errors become one line."""

    media_type = JSON_LINES
    format = "ndjson"
    charset = "utf-8"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """An error body as a line."""
        from approvals.canonical import canonical_json

        return (canonical_json(data or {}) + "\n").encode()


async def _chunks(lines: Iterator[str]) -> AsyncIterator[str]:
    """Under ASGI a plain iterator would be read to its end before the first byte is sent."""
    read = sync_to_async(lambda: "".join(islice(lines, LINES_IN_A_CHUNK)))
    while chunk := await read():
        yield chunk


def _download(lines: Iterator[str], name: str) -> StreamingHttpResponse:
    response = StreamingHttpResponse(_chunks(lines), content_type=JSON_LINES)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


class AuditExportView(APIView):
    """The whole trail as a file."""

    renderer_classes = [JsonLinesRenderer]

    @extend_schema(operation_id="audit_export", responses={(200, JSON_LINES): OpenApiTypes.STR})
    def get(self, request: Request) -> StreamingHttpResponse:
        """Every entry with its hash, oldest first, as JSON Lines.

        `python -m approvals.verify_trail FILE` checks it without a database.
        """
        return _download(trail_as_lines(), "audit-trail.jsonl")


class AuditAnchorsView(APIView):
    """The daily anchors as a file."""

    renderer_classes = [JsonLinesRenderer]

    @extend_schema(operation_id="audit_anchors", responses={(200, JSON_LINES): OpenApiTypes.STR})
    def get(self, request: Request) -> StreamingHttpResponse:
        """The newest entry of each finished day: `{"day", "seq", "hash"}`, as JSON Lines."""
        return _download(anchors_as_lines(), "audit-anchors.jsonl")
