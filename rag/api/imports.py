"""Imports: how far what was handed in has come; stop and try again."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, status
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.api.common import Pages, choice, refuse, text
from rag.access import Reader
from rag.api.documents import MayAddDocuments, refusal
from rag.api.knowledge_serializers import EmbeddingModelSerializer, ImportJobSerializer
from rag.api.serializers import ErrorSerializer
from rag.intake.jobs import JobRefused, job_cancel, job_retry
from rag.intake.progress import import_jobs, model_row
from rag.models import EmbeddingModel, ImportJob


class ImportsView(generics.ListAPIView[ImportJob]):
    """What was handed in."""

    serializer_class = ImportJobSerializer
    pagination_class = Pages

    def get_queryset(self):  # type: ignore[no-untyped-def]
        """Jobs by the filters of the query string."""
        found = import_jobs(Reader.of(self.request.user))
        if state := choice(self.request, "state", ImportJob.State.values):
            found = found.filter(state=state)
        if origin := choice(self.request, "origin", ImportJob.Origin.values):
            found = found.filter(origin=origin)
        if collection := text(self.request, "collection"):
            found = found.filter(collection__slug=collection)
        if batch := text(self.request, "batch"):
            try:
                found = found.filter(batch=UUID(batch))
            except ValueError:
                raise refuse("batch", f"{batch[:60]!r} is not a UUID") from None
        if ids := text(self.request, "ids"):
            wanted = ids.split(",")
            if not all(part.isascii() and part.isdigit() for part in wanted):
                raise refuse("ids", "are numbers, separated by commas")
            found = found.filter(pk__in=[int(part[:18]) for part in wanted[:1_000]])
        return found

    @extend_schema(
        operation_id="knowledge_imports_list",
        parameters=[
            OpenApiParameter("batch", str, description="what was handed in together (UUID)"),
            OpenApiParameter("state", str, enum=ImportJob.State.values),
            OpenApiParameter("origin", str, enum=ImportJob.Origin.values),
            OpenApiParameter("collection", str, description="slug of a collection"),
            OpenApiParameter("ids", str, description="ids, separated by commas"),
        ],
        responses={200: ImportJobSerializer(many=True), 400: ErrorSerializer},
    )
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Imports, newest first, each with its state and progress."""
        return super().get(request, *args, **kwargs)


class ImportView(APIView):
    """One import."""

    @extend_schema(
        operation_id="knowledge_import",
        responses={200: ImportJobSerializer, 404: ErrorSerializer},
    )
    def get(self, request: Request, job_id: int) -> Response:
        """State and progress of one file."""
        return Response(ImportJobSerializer(_job(request, job_id)).data)


def _job(request: Request, job_id: int) -> ImportJob:
    return get_object_or_404(import_jobs(Reader.of(request.user)), pk=job_id)


class _JobAction(APIView):
    permission_classes = [IsAuthenticated, MayAddDocuments]

    def acted(self, request: Request, job_id: int, act: Callable[..., Any]) -> Response:
        """Run the service on the user's own job, or on any for those who decide on documents."""
        job = _job(request, job_id)
        if job.created_by_id != request.user.pk and not request.user.has_perm(
            "rag.change_document"
        ):
            return refusal(
                status.HTTP_403_FORBIDDEN,
                "permission_denied",
                "This import is not yours; a supervisor may do it (rag.change_document).",
            )
        try:
            act(job_id=job.pk)
        except JobRefused as error:
            return refusal(status.HTTP_409_CONFLICT, "refused", str(error))
        return Response(ImportJobSerializer(_job(request, job_id)).data)


_ACTED = {
    200: ImportJobSerializer,
    403: ErrorSerializer,
    404: ErrorSerializer,
    409: ErrorSerializer,
}


class RetryView(_JobAction):
    """Once more."""

    @extend_schema(operation_id="knowledge_import_retry", request=None, responses=_ACTED)
    def post(self, request: Request, job_id: int) -> Response:
        """Queue a failed or cancelled import again."""
        return self.acted(request, job_id, job_retry)


class CancelView(_JobAction):
    """Stop."""

    @extend_schema(operation_id="knowledge_import_cancel", request=None, responses=_ACTED)
    def post(self, request: Request, job_id: int) -> Response:
        """Stop an import and take back what it stored; the former revision keeps serving."""
        return self.acted(request, job_id, job_cancel)


class EmbeddingModelsView(APIView):
    """Which embedding models there are."""

    @extend_schema(
        operation_id="knowledge_embedding_models",
        responses={200: EmbeddingModelSerializer(many=True)},
    )
    def get(self, request: Request) -> Response:
        """The models that serve, are being filled, or can be gone back to."""
        rows = [model_row(model) for model in EmbeddingModel.objects.all()]
        return Response(EmbeddingModelSerializer(rows, many=True).data)
