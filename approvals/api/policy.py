"""The policy: what is in force, how it came about, what another would change, who would sign."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response

from approvals.api.policy_serializers import (
    PolicyCandidateSerializer,
    PolicyChangeSerializer,
    PolicyCheckedSerializer,
    PolicyDecideSerializer,
    PolicyDocumentSerializer,
    PolicyPreviewRequestSerializer,
    PolicyPreviewSerializer,
    PolicyRestoreSerializer,
    PolicySavedSerializer,
    PolicySaveSerializer,
    PolicySimulateSerializer,
    PolicyVersionSerializer,
    SimulationSerializer,
)
from approvals.api.views import REFUSALS, GateView
from approvals.errors import NotAllowedError, NotFoundError
from approvals.models import PolicyChange, PolicyVersion
from approvals.policy.preview import action_preview
from approvals.policy.simulate import policy_simulate
from approvals.services.policy import (
    policy_change,
    policy_change_decide,
    policy_examine,
    policy_restore,
    require_usable,
)


def _saved(made: PolicyVersion | PolicyChange) -> Response:
    """201 with the version that is in force, 202 with the change that waits."""
    in_force = isinstance(made, PolicyVersion)
    body = {"version": made if in_force else None, "waiting": None if in_force else made}
    code = status.HTTP_201_CREATED if in_force else status.HTTP_202_ACCEPTED
    return Response(PolicySavedSerializer(body).data, status=code)


class PolicyView(GateView):
    @extend_schema(operation_id="policy_in_force", responses=PolicyDocumentSerializer)
    def get(self, request: Request) -> Response:
        """The policy in force."""
        newest = PolicyVersion.objects.select_related("made_by").first()
        if newest is None:
            raise NotFoundError("there is no policy version; the shipped policy is in force")
        return Response(PolicyDocumentSerializer(newest).data)

    @extend_schema(
        operation_id="policy_change",
        request=PolicySaveSerializer,
        responses={201: PolicySavedSerializer, 202: PolicySavedSerializer, **REFUSALS},
    )
    def post(self, request: Request) -> Response:
        """Change the policy. 201: in force. 202: it asks for less than before, so a second person
        has to accept it."""
        asked = self.parsed(PolicySaveSerializer)
        return _saved(policy_change(user=self.person, request=request._request, **asked))


class PolicyVersionListView(generics.ListAPIView[PolicyVersion]):
    """Every version, newest first."""

    serializer_class = PolicyVersionSerializer

    def get_queryset(self) -> QuerySet[PolicyVersion]:
        return PolicyVersion.objects.select_related("made_by")


class PolicyVersionView(GateView):
    @extend_schema(operation_id="policy_version", responses=PolicyDocumentSerializer)
    def get(self, request: Request, number: int) -> Response:
        """One version with its document and what it changed."""
        found = PolicyVersion.objects.select_related("made_by").filter(pk=number).first()
        if found is None:
            raise NotFoundError(f"there is no policy {number}")
        return Response(PolicyDocumentSerializer(found).data)


class PolicyRestoreView(GateView):
    @extend_schema(
        operation_id="policy_restore",
        request=PolicyRestoreSerializer,
        responses={201: PolicySavedSerializer, 202: PolicySavedSerializer, **REFUSALS},
    )
    def post(self, request: Request, number: int) -> Response:
        """Put an old version's document in force again, as a new version."""
        asked = self.parsed(PolicyRestoreSerializer)
        return _saved(
            policy_restore(user=self.person, number=number, request=request._request, **asked)
        )


class PolicyChangeListView(generics.ListAPIView[PolicyChange]):
    """Changes that wait or waited for a second person, newest first."""

    serializer_class = PolicyChangeSerializer

    def get_queryset(self) -> QuerySet[PolicyChange]:
        return PolicyChange.objects.select_related("made_by", "decided_by")


class PolicyChangeDecideView(GateView):
    @extend_schema(
        operation_id="policy_change_decide",
        request=PolicyDecideSerializer,
        responses={200: PolicySavedSerializer, 201: PolicySavedSerializer, **REFUSALS},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Accept or refuse a waiting change as the second person; its author may withdraw it."""
        asked = self.parsed(PolicyDecideSerializer)
        made = policy_change_decide(
            change_id=pk, user=self.person, request=request._request, **asked
        )
        answer = _saved(made)
        if isinstance(made, PolicyChange):
            answer.status_code = status.HTTP_200_OK
        return answer


def _only_policy_makers(view: GateView) -> None:
    if not view.person.has_perm("approvals.change_policy"):
        raise NotAllowedError(
            f"{view.person.get_username()} may not work on the policy (needs "
            "approvals.change_policy)"
        )


class PolicyCheckView(GateView):
    @extend_schema(
        operation_id="policy_check",
        request=PolicyCandidateSerializer,
        responses={200: PolicyCheckedSerializer, **REFUSALS},
    )
    def post(self, request: Request) -> Response:
        """What is wrong with a document, what it would change, and where it asks for less. Nothing
        is stored."""
        _only_policy_makers(self)
        examined = policy_examine(
            user=self.person, document=self.parsed(PolicyCandidateSerializer)["document"]
        )
        return Response(PolicyCheckedSerializer(examined).data)


class PolicySimulateView(GateView):
    @extend_schema(
        operation_id="policy_simulate",
        request=PolicySimulateSerializer,
        responses={200: SimulationSerializer, **REFUSALS},
    )
    def post(self, request: Request) -> Response:
        """Hold a document against the proposals of the last days: which would have needed other
        signatures, which would have been held up, and by which rule."""
        _only_policy_makers(self)
        asked = self.parsed(PolicySimulateSerializer)
        require_usable(asked["document"])
        return Response(SimulationSerializer(policy_simulate(**asked)).data)


class PolicyPreviewView(GateView):
    @extend_schema(
        operation_id="policy_preview",
        request=PolicyPreviewRequestSerializer,
        responses={200: PolicyPreviewSerializer, **REFUSALS},
    )
    def post(self, request: Request) -> Response:
        """Who would have to sign this action and why, and what stands in its way. Nothing is
        stored."""
        asked = self.parsed(PolicyPreviewRequestSerializer)
        if asked["with_prediction"] and not self.person.has_perm("approvals.add_proposal"):
            raise NotAllowedError(
                f"{self.person.get_username()} may not ask the twin (needs approvals.add_proposal)"
            )
        return Response(PolicyPreviewSerializer(preview_json(self.person, asked)).data)


def preview_json(person: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """A preview with its dataclasses as the serializer reads them."""
    found = action_preview(user=person, **asked)
    return {
        **found._asdict(),
        "subject": asdict(found.subject),
        "requirement": found.requirement.as_dict(),
        "at": found.at or timezone.now(),
    }
