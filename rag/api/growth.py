"""Gaps and outcome reports."""

from abc import ABC, abstractmethod
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers
from rest_framework.exceptions import APIException
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.api.common import Pages, choice, text
from rag.access import Reader, collections_of, readable
from rag.api.growth_serializers import (
    GapAssignSerializer,
    GapLinkSerializer,
    KnowledgeGapSerializer,
    ReleaseNoteSerializer,
    ReportSerializer,
)
from rag.api.knowledge_serializers import ReasonSerializer
from rag.api.serializers import ErrorSerializer
from rag.growth import gaps as gap_services
from rag.growth import reports as report_services
from rag.growth.gaps import GapError, gaps
from rag.growth.reports import ReportError
from rag.models import Document, Gap, OutcomeReport

ERRORS = {400: ErrorSerializer, 403: ErrorSerializer, 404: ErrorSerializer, 409: ErrorSerializer}


class Refused(APIException):
    """A service's refusal as an API error."""

    def __init__(self, error: GapError | ReportError) -> None:
        super().__init__(error.detail, error.code)
        self.status_code = error.status


class MayChangeGaps(BasePermission):
    """Looking is for everybody signed in."""

    message = "You may not change gaps: it needs the operator role (rag.change_gap)."

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether this request may pass."""
        return request.method == "GET" or request.user.has_perm("rag.change_gap")


class MayRelease(BasePermission):
    """Looking is for everybody signed in."""

    message = (
        "You may not decide on outcome reports: it needs the supervisor role (rag.release_report)."
    )

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether this request may pass."""
        return request.method == "GET" or request.user.has_perm("rag.release_report")


class GapsView(generics.ListAPIView[Gap]):
    """What the documents should say and do not."""

    permission_classes = [IsAuthenticated]
    serializer_class = KnowledgeGapSerializer
    pagination_class = Pages

    def get_queryset(self):  # type: ignore[no-untyped-def]
        """Gaps by the filters of the query string."""
        request = self.request
        found = gaps(reader=Reader.of(request.user))
        if kind := choice(request, "kind", Gap.Kind.values):
            found = found.filter(kind=kind)
        if state := choice(request, "state", Gap.State.values):
            found = found.filter(state=state)
        if owner := text(request, "owner"):
            found = found.filter(owner="" if owner == "unassigned" else owner)
        return found

    def get_serializer_context(self) -> dict[str, Any]:
        """The collections that the caller may read, once for all rows."""
        return {**super().get_serializer_context(), "readable": _readable(self.request)}

    @extend_schema(
        operation_id="knowledge_gaps_list",
        parameters=[
            OpenApiParameter("kind", str, enum=Gap.Kind.values),
            OpenApiParameter("state", str, enum=Gap.State.values),
            OpenApiParameter("owner", str, description="exact; `unassigned` for none"),
        ],
    )
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Gaps, most often met first."""
        return super().get(request, *args, **kwargs)


class GapActionView(APIView, ABC):
    """One step of a gap; subclasses say which."""

    permission_classes = [IsAuthenticated, MayChangeGaps]
    serializer: type[serializers.Serializer[Any]] = serializers.Serializer

    def post(self, request: Request, pk: int) -> Response:
        """Check that the caller may see the gap, then do it."""
        if not gaps(reader=Reader.of(request.user)).filter(pk=pk).exists():
            raise Refused(GapError(f"gap {pk} does not exist", code="not_found", status=404))
        given = self.serializer(data=request.data)
        given.is_valid(raise_exception=True)
        try:
            gap = self.act(request, pk, given.validated_data)
        except GapError as error:
            raise Refused(error) from error
        return Response(KnowledgeGapSerializer(gap, context={"readable": _readable(request)}).data)

    @abstractmethod
    def act(self, request: Request, pk: int, given: dict[str, Any]) -> Gap:
        """Call the service."""


class GapAssignView(GapActionView):
    """Who takes care of it."""

    serializer = GapAssignSerializer

    @extend_schema(
        operation_id="knowledge_gap_assign",
        request=GapAssignSerializer,
        responses={200: KnowledgeGapSerializer, **ERRORS},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Give an open gap an owner, or take the owner away."""
        return super().post(request, pk)

    def act(self, request: Request, pk: int, given: dict[str, Any]) -> Gap:
        """Call the service."""
        return gap_services.gap_assign(gap_id=pk, owner=given["owner"])


class GapLinkView(GapActionView):
    """The document that closes it."""

    serializer = GapLinkSerializer

    @extend_schema(
        operation_id="knowledge_gap_link",
        request=GapLinkSerializer,
        responses={200: KnowledgeGapSerializer, **ERRORS},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Name a document; the question is asked again at once and closes the gap if it is
        answered now."""
        return super().post(request, pk)

    def act(self, request: Request, pk: int, given: dict[str, Any]) -> Gap:
        """Call the service with a document that the caller may read."""
        document = Document.objects.filter(
            readable(Reader.of(request.user), "collection"), slug=given["document"]
        ).first()
        if document is None:
            raise GapError(
                f"document '{given['document']}' does not exist; give the last part of its address",
                code="unknown_document",
                status=400,
            )
        return gap_services.gap_link(gap_id=pk, document=document, user=request.user)


class GapDismissView(GapActionView):
    """It is no gap."""

    serializer = ReasonSerializer

    @extend_schema(
        operation_id="knowledge_gap_dismiss",
        request=ReasonSerializer,
        responses={200: KnowledgeGapSerializer, **ERRORS},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Dismiss an open gap with a reason."""
        return super().post(request, pk)

    def act(self, request: Request, pk: int, given: dict[str, Any]) -> Gap:
        """Call the service."""
        return gap_services.gap_dismiss(gap_id=pk, user=request.user, reason=given["reason"])


class GapReopenView(GapActionView):
    """It is a gap after all."""

    @extend_schema(
        operation_id="knowledge_gap_reopen",
        request=None,
        responses={200: KnowledgeGapSerializer, **ERRORS},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Open a closed or dismissed gap again."""
        return super().post(request, pk)

    def act(self, request: Request, pk: int, given: dict[str, Any]) -> Gap:
        """Call the service."""
        return gap_services.gap_reopen(gap_id=pk, user=request.user)


class ReportsView(generics.ListAPIView[OutcomeReport]):
    """Outcome reports."""

    permission_classes = [IsAuthenticated]
    serializer_class = ReportSerializer
    pagination_class = Pages

    def get_queryset(self):  # type: ignore[no-untyped-def]
        """Reports by state."""
        found = OutcomeReport.objects.select_related("document", "decided_by")
        if state := choice(self.request, "state", OutcomeReport.State.values):
            found = found.filter(state=state)
        return found.order_by("-created_at", "-pk")

    @extend_schema(
        operation_id="knowledge_reports_list",
        parameters=[OpenApiParameter("state", str, enum=OutcomeReport.State.values)],
    )
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Reports, newest first."""
        return super().get(request, *args, **kwargs)


class ReportActionView(APIView, ABC):
    """One step of a report; subclasses say which."""

    permission_classes = [IsAuthenticated, MayRelease]
    serializer: type[serializers.Serializer[Any]] = serializers.Serializer

    def post(self, request: Request, pk: int) -> Response:
        """Do it, or say why not."""
        given = self.serializer(data=request.data)
        given.is_valid(raise_exception=True)
        try:
            report = self.act(request, pk, given.validated_data)
        except ReportError as error:
            raise Refused(error) from error
        return Response(ReportSerializer(report).data)

    @abstractmethod
    def act(self, request: Request, pk: int, given: dict[str, Any]) -> OutcomeReport:
        """Call the service."""


class ReportReleaseView(ReportActionView):
    """Into the knowledge base."""

    serializer = ReleaseNoteSerializer

    @extend_schema(
        operation_id="knowledge_report_release",
        request=ReleaseNoteSerializer,
        responses={200: ReportSerializer, **ERRORS},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Release a draft: it becomes a document of the collection `experience`."""
        return super().post(request, pk)

    def act(self, request: Request, pk: int, given: dict[str, Any]) -> OutcomeReport:
        """Call the service."""
        return report_services.report_release(report_id=pk, user=request.user, note=given["note"])


class ReportDismissView(ReportActionView):
    """Not worth keeping."""

    serializer = ReasonSerializer

    @extend_schema(
        operation_id="knowledge_report_dismiss",
        request=ReasonSerializer,
        responses={200: ReportSerializer, **ERRORS},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Dismiss a draft with a reason."""
        return super().post(request, pk)

    def act(self, request: Request, pk: int, given: dict[str, Any]) -> OutcomeReport:
        """Call the service."""
        return report_services.report_dismiss(
            report_id=pk, user=request.user, reason=given["reason"]
        )


class ReportWithdrawView(ReportActionView):
    """Undo a release."""

    serializer = ReasonSerializer

    @extend_schema(
        operation_id="knowledge_report_withdraw",
        request=ReasonSerializer,
        responses={200: ReportSerializer, **ERRORS},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Withdraw a released report's document; the report is a draft again."""
        return super().post(request, pk)

    def act(self, request: Request, pk: int, given: dict[str, Any]) -> OutcomeReport:
        """Call the service."""
        return report_services.report_withdraw(
            report_id=pk, user=request.user, reason=given["reason"]
        )


class ReportReopenView(ReportActionView):
    """Undo a dismissal."""

    @extend_schema(
        operation_id="knowledge_report_reopen",
        request=None,
        responses={200: ReportSerializer, **ERRORS},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Make a dismissed report a draft again."""
        return super().post(request, pk)

    def act(self, request: Request, pk: int, given: dict[str, Any]) -> OutcomeReport:
        """Call the service."""
        return report_services.report_reopen(report_id=pk, user=request.user)


def _readable(request: Request) -> set[int]:
    return set(collections_of(Reader.of(request.user)).values_list("pk", flat=True))
