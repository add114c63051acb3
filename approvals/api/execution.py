"""Stop, hold, release, settle: thin views."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from approvals import selectors
from approvals.api.execution_serializers import (
    GateHoldSerializer,
    GateStateSerializer,
    ReleaseSerializer,
    SettleSerializer,
    StopSerializer,
)
from approvals.api.serializers import GateErrorSerializer, ProposalSerializer
from approvals.api.views import REFUSALS, GateView
from approvals.services import stops


def _proposal(proposal_id: int) -> Response:
    return Response(ProposalSerializer(selectors.proposals().get(pk=proposal_id)).data)


class StopView(GateView):
    @extend_schema(
        operation_id="proposals_stop",
        request=StopSerializer,
        responses={200: ProposalSerializer, **REFUSALS},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Stop a signed proposal: an approved one is rejected, of an executing one nothing more is
        sent. A reason is needed."""
        stops.execution_stop(proposal_id=pk, user=self.person, **self.parsed(StopSerializer))
        return _proposal(pk)


class ReleaseView(GateView):
    @extend_schema(
        operation_id="proposals_hold_release",
        request=ReleaseSerializer,
        responses={200: ProposalSerializer, **REFUSALS},
    )
    def post(self, request: Request, pk: int, step: str) -> Response:
        """Let a procedure go on past the hold before this step."""
        stops.hold_release(
            proposal_id=pk,
            step=step,
            user=self.person,
            request=request,
            **self.parsed(ReleaseSerializer),
        )
        return _proposal(pk)


class SettleView(GateView):
    @extend_schema(
        operation_id="proposals_settle",
        request=SettleSerializer,
        responses={200: ProposalSerializer, **REFUSALS},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Say by hand what became of a write whose outcome nothing tells."""
        stops.execution_settle(proposal_id=pk, user=self.person, **self.parsed(SettleSerializer))
        return _proposal(pk)


def _gate() -> dict[str, Any]:
    hold = selectors.gate_hold_now()
    return {
        "held": hold is not None,
        "hold": None if hold is None else GateHoldSerializer(hold).data,
        "under_way": selectors.writes_under_way(),
    }


class GateHoldView(GateView):
    @extend_schema(operation_id="gate_hold_now", responses=GateStateSerializer)
    def get(self, request: Request) -> Response:
        """Whether everything is stopped."""
        return Response(_gate())

    @extend_schema(
        operation_id="gate_hold",
        request=StopSerializer,
        responses={201: GateStateSerializer, **REFUSALS},
    )
    def post(self, request: Request) -> Response:
        """Stop everything: nothing is claimed, no further write is sent. A reason is needed."""
        stops.gate_hold(user=self.person, **self.parsed(StopSerializer))
        return Response(_gate(), status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="gate_resume",
        request=None,
        responses={200: GateStateSerializer, 403: GateErrorSerializer, 409: GateErrorSerializer},
    )
    def delete(self, request: Request) -> Response:
        """Let everything go on."""
        stops.gate_resume(user=self.person)
        return Response(_gate())
