"""Thin views: parse, call a service, answer."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.auth.models import AbstractUser
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from approvals import selectors, services
from approvals.api.serializers import (
    ActionKindSerializer,
    ApproveSerializer,
    GateErrorSerializer,
    PlannedWriteSerializer,
    ProposalRequestSerializer,
    ProposalSerializer,
    RejectSerializer,
    ReviseSerializer,
    RevisionFormSerializer,
)
from approvals.errors import GateError, NotFoundError
from approvals.execution import dry_run
from approvals.models import Proposal
from approvals.services.revisions import revision_form
from approvals.states import ProposalState

REFUSALS = dict.fromkeys((400, 403, 404, 409, 429), GateErrorSerializer)


class GateView(APIView):
    """Answers GateError as its own status and JSON."""

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, GateError):
            return Response(exc.as_dict(), status=exc.status)
        return super().handle_exception(exc)

    def parsed(self, serializer_class: type[Any]) -> dict[str, Any]:
        serializer = serializer_class(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        return cast(dict[str, Any], serializer.validated_data)

    @property
    def person(self) -> AbstractUser:
        return cast(AbstractUser, self.request.user)


def _proposal_json(proposal_id: int) -> dict[str, Any]:
    return dict(ProposalSerializer(selectors.proposals().get(pk=proposal_id)).data)


class ProposalListView(GateView, generics.ListAPIView[Proposal]):
    """Proposals, newest first, and the door for a person's own."""

    serializer_class = ProposalSerializer

    def get_queryset(self) -> QuerySet[Proposal]:
        found = selectors.proposals()
        state = self.request.query_params.get("state", "")
        if not state:
            return found
        if state not in ProposalState.values:
            raise ValidationError(
                {"state": f"{state!r} is not a state; known are {', '.join(ProposalState.values)}"}
            )
        return found.filter(state=state)

    @extend_schema(parameters=[OpenApiParameter("state", str, enum=ProposalState.values)])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List proposals."""
        return super().get(request, *args, **kwargs)

    @extend_schema(
        request=ProposalRequestSerializer, responses={201: ProposalSerializer, **REFUSALS}
    )
    def post(self, request: Request) -> Response:
        """Propose an action of the catalogue; somebody else has to sign it."""
        proposal = services.proposal_request(
            user=self.person, **self.parsed(ProposalRequestSerializer)
        )
        return Response(_proposal_json(proposal.pk), status=status.HTTP_201_CREATED)


class ProposalView(generics.RetrieveAPIView[Proposal]):
    """One proposal with decisions, transitions, execution and effect."""

    serializer_class = ProposalSerializer

    def get_queryset(self) -> QuerySet[Proposal]:
        return selectors.proposals()


class ApproveView(GateView):
    @extend_schema(request=ApproveSerializer, responses={200: ProposalSerializer, **REFUSALS})
    def post(self, request: Request, pk: int) -> Response:
        """Sign the payload with this digest. 409 `digest_mismatch` carries both digests.

        A signature that is not the last one leaves it pending: `signatures` says who is missing.
        """
        services.proposal_approve(
            proposal_id=pk, user=self.person, **self.parsed(ApproveSerializer)
        )
        return Response(_proposal_json(pk))


class RejectView(GateView):
    @extend_schema(request=RejectSerializer, responses={200: ProposalSerializer, **REFUSALS})
    def post(self, request: Request, pk: int) -> Response:
        """Refuse with a reason. Nothing is written to the plant."""
        services.proposal_reject(proposal_id=pk, user=self.person, **self.parsed(RejectSerializer))
        return Response(_proposal_json(pk))


class ReviseView(GateView):
    @extend_schema(
        operation_id="proposals_revise_form",
        responses={200: RevisionFormSerializer, **REFUSALS},
    )
    def get(self, request: Request, pk: int) -> Response:
        """What a form for other parameters needs: their JSON schema with the limits of now."""
        return Response(RevisionFormSerializer(revision_form(proposal_id=pk)).data)

    @extend_schema(request=ReviseSerializer, responses={201: ProposalSerializer, **REFUSALS})
    def post(self, request: Request, pk: int) -> Response:
        """Replace a waiting proposal by a revision with other parameters; answers the revision."""
        made = services.proposal_revise(
            proposal_id=pk, user=self.person, **self.parsed(ReviseSerializer)
        )
        return Response(_proposal_json(made.pk), status=status.HTTP_201_CREATED)


class ActionListView(APIView):
    """The catalogue: what may be proposed, on what, within which limits."""

    @extend_schema(responses=ActionKindSerializer(many=True))
    def get(self, request: Request) -> Response:
        """List the actions with a parameter schema for each target."""
        return Response(ActionKindSerializer(selectors.action_list(), many=True).data)


class DryRunView(GateView):
    @extend_schema(
        operation_id="proposals_dry_run",
        responses={200: PlannedWriteSerializer(many=True), 404: GateErrorSerializer},
    )
    def get(self, request: Request, pk: int) -> Response:
        """What the drivers would send for this proposal: exact requests and registers. Nothing is
        sent."""
        proposal = selectors.proposals().filter(pk=pk).first()
        if proposal is None:
            raise NotFoundError(f"proposal {pk} does not exist")
        planned = [write._asdict() for write in dry_run(writes=proposal.writes)]
        return Response(PlannedWriteSerializer(planned, many=True).data)
