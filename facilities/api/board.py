"""The system requirements board and the capacity planner."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from facilities.board.cells import State
from facilities.board.components import read_board
from facilities.board.planner import Plan, PlanInput, capacity_plan, present, wanted_of

from .common import text

STATES = ", ".join(State)


class EvidenceSerializer(serializers.Serializer[Any]):
    """Where to look."""

    label = serializers.CharField()  # type: ignore[assignment]  # DRF's own label comes later
    url = serializers.CharField()


class CellSerializer(serializers.Serializer[Any]):
    """One need of one component: what it is, how that was computed, when and from what."""

    key = serializers.CharField()
    need = serializers.CharField()
    value = serializers.CharField()
    state = serializers.CharField(help_text=STATES)
    how = serializers.CharField()
    basis = serializers.CharField()
    at = serializers.DateTimeField()
    advice = serializers.CharField()
    evidence = EvidenceSerializer(many=True)
    details = serializers.ListField(child=serializers.CharField())


class ComponentSerializer(serializers.Serializer[Any]):
    """One of the six components."""

    key = serializers.CharField()
    title = serializers.CharField()
    state = serializers.CharField(help_text=STATES)
    cells = CellSerializer(many=True)


class BoardView(APIView):
    """The board, computed now."""

    @extend_schema(
        operation_id="requirements_board",
        summary="System requirements board",
        responses=ComponentSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """Return the six components."""
        return Response(ComponentSerializer(read_board(), many=True).data)


class NeedSerializer(serializers.Serializer[Any]):
    """One resource of a plan; ``share`` is needed over available, null when unknown."""

    key = serializers.CharField()
    title = serializers.CharField()
    needed = serializers.FloatField()
    needed_text = serializers.CharField()
    available = serializers.FloatField(allow_null=True)
    available_text = serializers.CharField()
    share = serializers.FloatField(allow_null=True)
    how = serializers.CharField()
    measured = serializers.BooleanField(help_text="False: reckoned with an assumed rate")


class PlanSerializer(serializers.Serializer[Any]):
    """What the plan needs, and what breaks first."""

    points = serializers.IntegerField()
    interval_s = serializers.FloatField()
    retention_days = serializers.IntegerField()
    retention_1m_days = serializers.IntegerField()
    retention_1h_days = serializers.IntegerField()
    readings_per_s = serializers.FloatField()
    needs = NeedSerializer(many=True)
    web_workers = serializers.IntegerField()
    telemetry_workers = serializers.IntegerField()
    fits = serializers.BooleanField()
    breaks_first = serializers.CharField(allow_null=True)
    points_possible = serializers.IntegerField(allow_null=True)


def plan_as_dict(plan: Plan) -> dict[str, Any]:
    """The plan as the API gives it."""
    return {
        **plan.wanted._asdict(),
        "readings_per_s": plan.readings_per_s,
        "needs": [{**asdict(need), "share": need.share} for need in plan.needs],
        "web_workers": plan.web_workers,
        "telemetry_workers": plan.telemetry_workers,
        "fits": plan.fits,
        "breaks_first": plan.breaks_first.key if plan.breaks_first else None,
        "points_possible": plan.points_possible,
    }


class PlanView(APIView):
    """A plan; every number defaults to the present data list and settings."""

    @extend_schema(
        operation_id="requirements_plan",
        summary="Capacity planner",
        parameters=[OpenApiParameter(name, float) for name in PlanInput._fields],
        responses=PlanSerializer,
    )
    def get(self, request: Request) -> Response:
        """Return the plan; 400 names the number that is impossible."""
        given = {name: text(request, name) for name in PlanInput._fields}
        try:
            plan = capacity_plan(wanted=wanted_of(present(), given))
        except ValueError as error:
            raise ValidationError({"plan": [str(error)]}) from error
        return Response(PlanSerializer(plan_as_dict(plan)).data)
