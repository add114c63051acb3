"""Every proposal there ever was, over REST: the search of the history page, and a file of what it finds."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse, JsonResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework import generics, serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from approvals.api.serializers import GateErrorSerializer
from approvals.api.views import GateView
from approvals.models import Proposal
from approvals.search import EXPORT_ROWS, as_csv, proposals_search, row_of, select, wanted_of
from approvals.states import ProposalState, Risk


class HistoryFilterSerializer(serializers.Serializer[Any]):
    """What to look for; what is left out looks for everything."""

    q = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=200,
        help_text='Words of title, rationale, target, kind and reasons: `fan "supply air" -drill`, '
        "or a number.",
    )
    kind = serializers.CharField(required=False, allow_blank=True, max_length=40)
    target = serializers.CharField(required=False, allow_blank=True, max_length=80)
    person = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=150,
        help_text="Who asked, edited or decided; `agent` for the platform's own.",
    )
    state = serializers.ChoiceField(
        required=False, allow_blank=True, choices=["open", "ended", *ProposalState.values]
    )
    risk = serializers.ChoiceField(required=False, allow_blank=True, choices=Risk.values)
    since = serializers.CharField(
        required=False, allow_blank=True, help_text="A day or a moment, UTC where it names no zone."
    )
    until = serializers.CharField(
        required=False, allow_blank=True, help_text="A day (to its end) or a moment."
    )


class HistoryRowSerializer(serializers.Serializer[Any]):
    """One proposal in the history."""

    id = serializers.IntegerField()
    title = serializers.CharField()
    kind = serializers.CharField()
    target = serializers.CharField()
    risk = serializers.ChoiceField(choices=Risk.choices)
    state = serializers.ChoiceField(choices=ProposalState.choices)
    asked_by = serializers.CharField(help_text="User name, or `agent`.")
    created_at = serializers.DateTimeField()
    ended_at = serializers.CharField(help_text="Empty while it is open.")
    decisions = serializers.CharField(help_text="`olga approve; sam approve`")
    reasons = serializers.CharField()
    effect_before = serializers.FloatField(allow_null=True)
    effect_after = serializers.FloatField(allow_null=True)
    effect_unit = serializers.CharField()
    digest = serializers.CharField()
    rationale = serializers.CharField()

    def to_representation(self, instance: Proposal) -> dict[str, Any]:
        """As the file of the page says it."""
        return row_of(instance)


def found_by(request: Request) -> QuerySet[Proposal]:
    """What the query finds, newest first. Unlike the page it refuses what it does not understand:
    raises ValidationError.
    """
    HistoryFilterSerializer(data=request.query_params).is_valid(raise_exception=True)
    wanted = wanted_of(request.query_params)
    if wanted.problems:
        raise ValidationError({"detail": "; ".join(wanted.problems)})
    return select(proposals_search(wanted))


class HistoryView(GateView, generics.ListAPIView[Proposal]):
    serializer_class = HistoryRowSerializer

    def get_queryset(self) -> QuerySet[Proposal]:
        return found_by(self.request)

    @extend_schema(
        operation_id="proposals_search",
        parameters=[HistoryFilterSerializer],
        responses={200: HistoryRowSerializer(many=True), 400: GateErrorSerializer},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        """Search every proposal there ever was, newest first."""
        return super().get(request, *args, **kwargs)


class HistoryExportView(GateView):
    @extend_schema(
        operation_id="proposals_export",
        parameters=[
            HistoryFilterSerializer,
            OpenApiParameter("as", str, enum=["csv", "json"], default="csv"),
        ],
        responses={
            (200, "text/csv"): OpenApiTypes.STR,
            (200, "application/json"): HistoryRowSerializer(many=True),
            400: GateErrorSerializer,
        },
    )
    def get(self, request: Request) -> HttpResponse:
        """What the same query finds as a file, newest first; at most 5,000 proposals.

        `X-Cut` is `true` where there are more: narrow the search.
        """
        form = request.query_params.get("as", "csv")
        if form not in ("csv", "json"):
            raise ValidationError({"as": f"{form!r} is no form of the file; there is csv and json"})
        found = list(found_by(request)[: EXPORT_ROWS + 1])
        rows = found[:EXPORT_ROWS]
        if form == "json":
            answer: HttpResponse = JsonResponse([row_of(one) for one in rows], safe=False)
        else:
            answer = HttpResponse(as_csv(rows), content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="proposals.{form}"'
        answer["X-Cut"] = str(len(found) > EXPORT_ROWS).lower()
        return answer
