"""Escalation chains: who is told, in what order."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.permissions import IsAuthenticated

from facilities.models import EscalationChain, EscalationStep, Hall, NotificationChannel

from .alarm_access import Cleaned, SupervisorsOnly
from .common import Pages


class EscalationStepSerializer(serializers.ModelSerializer[EscalationStep]):
    """One step: wait, then tell a channel, a user or a role; exactly one of them."""

    channel = serializers.SlugRelatedField(
        slug_field="name",
        queryset=NotificationChannel.objects.all(),
        allow_null=True,
        default=None,
    )
    user = serializers.SlugRelatedField(
        slug_field="username",
        queryset=get_user_model()._default_manager.all(),
        allow_null=True,
        default=None,
    )

    class Meta:
        model = EscalationStep
        fields = ("wait_s", "channel", "user", "role")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse no target and two."""
        named = [key for key in ("channel", "user", "role") if attrs.get(key)]
        if len(named) != 1:
            raise serializers.ValidationError(
                f"a step tells one of channel, user and role, not {' and '.join(named) or 'none'}"
            )
        return attrs


class ChainSerializer(Cleaned):
    """An escalation chain with its steps in order; writing replaces all steps."""

    hall = serializers.SlugRelatedField(
        slug_field="slug", queryset=Hall.objects.all(), allow_null=True, default=None
    )
    steps = EscalationStepSerializer(many=True)

    class Meta:
        model = EscalationChain
        fields = (
            "id",
            "name",
            "position",
            "min_severity",
            "hall",
            "asset_kind",
            "repeats",
            "enabled",
            "steps",
        )

    def validate_steps(self, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Refuse none and too many."""
        if not 1 <= len(value) <= 20:
            raise serializers.ValidationError("a chain has 1 to 20 steps")
        return value

    @transaction.atomic
    def create(self, validated_data: dict[str, Any]) -> EscalationChain:
        """Write chain and steps."""
        steps = validated_data.pop("steps")
        chain = EscalationChain.objects.create(**validated_data)
        return _with_steps(chain, steps)

    @transaction.atomic
    def update(self, instance: Any, validated_data: dict[str, Any]) -> EscalationChain:
        """Change the chain; steps are replaced when given."""
        steps = validated_data.pop("steps", None)
        chain: EscalationChain = super().update(instance, validated_data)
        return chain if steps is None else _with_steps(chain, steps)


def _with_steps(chain: EscalationChain, steps: list[dict[str, Any]]) -> EscalationChain:
    chain.steps.all().delete()
    EscalationStep.objects.bulk_create(
        EscalationStep(chain=chain, order=at, **step) for at, step in enumerate(steps, 1)
    )
    return EscalationChain.objects.prefetch_related("steps__channel", "steps__user").get(
        pk=chain.pk
    )


@extend_schema_view(
    get=extend_schema(operation_id="escalation_chains_list", summary="Escalation chains"),
    post=extend_schema(operation_id="escalation_chains_create", summary="Make a chain"),
)
class ChainList(generics.ListCreateAPIView[EscalationChain]):
    """Chains in the order in which they are tried."""

    serializer_class = ChainSerializer
    pagination_class = Pages
    permission_classes = [IsAuthenticated, SupervisorsOnly]
    queryset = EscalationChain.objects.select_related("hall").prefetch_related(
        "steps__channel", "steps__user"
    )


@extend_schema_view(
    get=extend_schema(operation_id="escalation_chains_retrieve", summary="A chain"),
    patch=extend_schema(operation_id="escalation_chains_update", summary="Change a chain"),
    delete=extend_schema(operation_id="escalation_chains_delete", summary="Delete a chain"),
)
class ChainDetail(generics.RetrieveUpdateDestroyAPIView[EscalationChain]):
    """One chain."""

    http_method_names = ["get", "patch", "delete", "options"]
    serializer_class = ChainSerializer
    permission_classes = [IsAuthenticated, SupervisorsOnly]
    queryset = ChainList.queryset
