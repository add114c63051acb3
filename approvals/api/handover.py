"""Shift hand-overs."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from approvals.api.serializers import GateErrorSerializer
from approvals.api.views import GateView
from approvals.errors import NotFoundError
from approvals.honesty.handover import (
    handover_facts,
    handover_since,
    handover_take,
    handover_write,
)
from approvals.honesty.handover_text import handover_markdown
from approvals.models import HandoverNote

REFUSALS = dict.fromkeys((400, 403, 404, 409), GateErrorSerializer)
LONGEST_TEXT = 8000


class HandoverSerializer(serializers.ModelSerializer[HandoverNote]):
    written_by = serializers.CharField(source="written_by.username", read_only=True)
    taken_by = serializers.CharField(source="taken_by.username", default=None, read_only=True)

    class Meta:
        model = HandoverNote
        fields = (
            "id",
            "written_by",
            "written_at",
            "since",
            "text",
            "facts",
            "taken_by",
            "taken_at",
        )
        read_only_fields = fields


class HandoverWriteSerializer(serializers.Serializer[Any]):
    text = serializers.CharField(
        max_length=LONGEST_TEXT, allow_blank=True, default="", help_text="What the next must know."
    )


def handovers() -> QuerySet[HandoverNote]:
    """Hand-overs, newest first, with both people."""
    return HandoverNote.objects.select_related("written_by", "taken_by")


class HandoverListView(GateView, generics.ListAPIView[HandoverNote]):
    """Hand-overs, newest first, and the door for a new one."""

    serializer_class = HandoverSerializer

    def get_queryset(self) -> QuerySet[HandoverNote]:
        return handovers()

    @extend_schema(request=HandoverWriteSerializer, responses={201: HandoverSerializer, **REFUSALS})
    def post(self, request: Request) -> Response:
        """Write the note of the outgoing shift; the facts since the last one are kept with it."""
        note = handover_write(user=self.person, **self.parsed(HandoverWriteSerializer))
        found = handovers().get(pk=note.pk)
        return Response(HandoverSerializer(found).data, status=status.HTTP_201_CREATED)


class HandoverNowView(GateView):
    @extend_schema(operation_id="handover_now", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        """What happened since the last hand-over, and what is coming."""
        return Response(handover_facts(since=handover_since(), until=timezone.now()))


class HandoverTakeView(GateView):
    @extend_schema(
        operation_id="handover_take",
        request=None,
        responses={200: HandoverSerializer, **REFUSALS},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Take the shift over; whoever wrote the note cannot."""
        return Response(HandoverSerializer(handover_take(note_id=pk, user=self.person)).data)


class HandoverExportView(GateView):
    @extend_schema(
        operation_id="handover_export",
        responses={(200, "text/markdown"): OpenApiTypes.STR, 404: GateErrorSerializer},
    )
    def get(self, request: Request, pk: int) -> HttpResponse:
        """One hand-over as Markdown."""
        note = handovers().filter(pk=pk).first()
        if note is None:
            raise NotFoundError(f"hand-over {pk} does not exist")
        answer = HttpResponse(handover_markdown(note), content_type="text/markdown; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="handover-{pk}.md"'
        return answer
