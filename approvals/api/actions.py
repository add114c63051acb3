"""The catalogue of actions over REST."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from approvals import selectors
from approvals.states import Risk


class ActionTargetSerializer(serializers.Serializer[Any]):
    tag = serializers.CharField()
    name = serializers.CharField()
    schema = serializers.DictField(
        help_text="JSON schema of `params`: limits and units (x-unit) are those of the point that "
        "is written (x-point); x-names gives names to the values of an enum."
    )


class ActionKindSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    title = serializers.CharField()
    risk = serializers.ChoiceField(choices=Risk.choices)
    summary = serializers.CharField()
    target_kinds = serializers.ListField(child=serializers.CharField())
    cool_down_s = serializers.FloatField(
        help_text="How long the same target is left alone afterwards, s; a policy may ask for more."
    )
    targets = ActionTargetSerializer(many=True)


class ActionListView(APIView):
    """The catalogue: what may be proposed, on what, within which limits."""

    @extend_schema(
        operation_id="actions_list",
        parameters=[
            OpenApiParameter("kind", description="One kind of action, e.g. set_fan_speed."),
            OpenApiParameter("target", description="One asset, e.g. crac-1."),
        ],
        responses=ActionKindSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """List the actions with a parameter schema for each target."""
        found = selectors.action_list(
            kind=request.query_params.get("kind", ""),
            target=request.query_params.get("target", ""),
        )
        return Response(ActionKindSerializer(found, many=True).data)
