"""Emergency approvals and their reviews."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response

from approvals.api.break_glass_serializers import BreakGlassSerializer, ReviewWishSerializer
from approvals.api.views import REFUSALS, GateView
from approvals.models import BreakGlass
from approvals.services.break_glass import break_glass_review, break_glasses


class BreakGlassListView(GateView, generics.ListAPIView[BreakGlass]):
    """Emergency approvals, newest first."""

    serializer_class = BreakGlassSerializer

    def get_queryset(self) -> QuerySet[BreakGlass]:
        return break_glasses()

    @extend_schema(operation_id="break_glass_list")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List them with what was waived, when reviews are due, and the reviews so far."""
        return super().get(request, *args, **kwargs)


class BreakGlassReviewView(GateView):
    @extend_schema(
        operation_id="break_glass_review",
        request=ReviewWishSerializer,
        responses={200: BreakGlassSerializer, **REFUSALS},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Review somebody else's emergency approval, once."""
        break_glass_review(break_glass_id=pk, user=self.person, **self.parsed(ReviewWishSerializer))
        return Response(BreakGlassSerializer(break_glasses().get(pk=pk)).data)
