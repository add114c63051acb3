"""What the agent looked at, and the door for asking it to look."""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from approvals import selectors
from approvals.agent import investigation_request
from approvals.api.agent_serializers import (
    OUTCOMES,
    InvestigationRequestSerializer,
    InvestigationSerializer,
    InvestigationSummarySerializer,
)
from approvals.api.views import REFUSALS, GateView
from approvals.models import Investigation
from approvals.tasks import answer_investigation

log = logging.getLogger(__name__)


class InvestigationListView(GateView, generics.ListAPIView[Investigation]):
    """The agent's looks, newest first."""

    serializer_class = InvestigationSummarySerializer

    def get_queryset(self) -> QuerySet[Investigation]:
        found = selectors.investigations()
        outcome = self.request.query_params.get("outcome", "")
        if not outcome:
            return found
        if outcome not in OUTCOMES:
            raise ValidationError(
                {"outcome": f"{outcome!r} is no outcome; known are {', '.join(OUTCOMES)}"}
            )
        return found.filter(outcome=outcome)

    @extend_schema(
        operation_id="investigations_list",
        parameters=[OpenApiParameter("outcome", str, enum=OUTCOMES)],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List what the agent looked at."""
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="investigations_request",
        request=InvestigationRequestSerializer,
        responses={202: InvestigationSerializer, **REFUSALS},
    )
    def post(self, request: Request) -> Response:
        """Ask the agent to look at an asset. Whoever asks cannot sign what comes of it."""
        wanted = self.parsed(InvestigationRequestSerializer)
        investigation = investigation_request(user=self.person, **wanted)
        transaction.on_commit(lambda: _queue(investigation.pk))
        found = selectors.investigations().get(pk=investigation.pk)
        return Response(InvestigationSerializer(found).data, status=status.HTTP_202_ACCEPTED)


class InvestigationView(generics.RetrieveAPIView[Investigation]):
    """One look with hypotheses and every step."""

    serializer_class = InvestigationSerializer

    def get_queryset(self) -> QuerySet[Investigation]:
        return selectors.investigations()

    @extend_schema(operation_id="investigations_retrieve")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """What the agent asked, was answered, and made of it."""
        return super().get(request, *args, **kwargs)


def _queue(investigation_id: int) -> None:
    """Best effort: the beat sweep finds what a missing broker lost."""
    try:
        answer_investigation.delay(investigation_id)
    except Exception as error:
        log.warning("queueing investigation %s failed, the sweep will: %s", investigation_id, error)
