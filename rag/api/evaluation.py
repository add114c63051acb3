"""Evaluation runs, read only."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response

from facilities.api.common import Pages, choice, text
from rag.access import Reader
from rag.api.evaluation_serializers import EvaluationDetailSerializer, EvaluationRunSerializer
from rag.evaluation.questions import LabelFilter
from rag.evaluation.resolving import Library
from rag.models import EvaluationRun


class EvaluationsView(generics.ListAPIView[EvaluationRun]):
    """Measured runs."""

    serializer_class = EvaluationRunSerializer
    pagination_class = Pages

    def get_queryset(self):  # type: ignore[no-untyped-def]
        """Runs by the filters of the query string, newest first."""
        runs = EvaluationRun.objects.select_related("created_by").defer("rows")
        if kind := choice(self.request, "kind", EvaluationRun.Kind.values):
            runs = runs.filter(kind=kind)
        if name := text(self.request, "name"):
            runs = runs.filter(name=name)
        return runs

    @extend_schema(
        operation_id="knowledge_evaluations_list",
        parameters=[
            OpenApiParameter("kind", str, description="retrieval, answers or attacks"),
            OpenApiParameter("name", str, description="the set, such as procedures.tune"),
        ],
    )
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Runs with their figures, newest first."""
        return super().get(request, *args, **kwargs)


class EvaluationView(generics.RetrieveAPIView[EvaluationRun]):
    """One measured run."""

    serializer_class = EvaluationDetailSerializer
    queryset = EvaluationRun.objects.select_related("created_by")

    def get_serializer_context(self) -> dict[str, Any]:
        """Labels are shown as this user reads the documents."""
        context = dict(super().get_serializer_context())
        if not getattr(self, "swagger_fake_view", False):
            context["labels"] = LabelFilter(Library(Reader.of(self.request.user)))
        return context

    @extend_schema(operation_id="knowledge_evaluations_retrieve")
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        """A run with its progress, figures and, unless its set is held, its questions."""
        return super().get(request, *args, **kwargs)
