"""JSON shapes of stopping, holding, releasing and settling."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from approvals.models import GateHold


class StopSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=4000, required=False, allow_blank=True, default="")


class ReleaseSerializer(serializers.Serializer[Any]):
    digest = serializers.CharField(max_length=128, help_text="The digest that was on the screen.")
    note = serializers.CharField(max_length=4000, required=False, allow_blank=True, default="")
    password = serializers.CharField(
        max_length=256, required=False, allow_blank=True, default="", trim_whitespace=False
    )
    otp = serializers.CharField(max_length=16, required=False, allow_blank=True, default="")


class SettleSerializer(serializers.Serializer[Any]):
    applied = serializers.BooleanField(help_text="Whether the write was carried out.")
    reason = serializers.CharField(max_length=4000, required=False, allow_blank=True, default="")


class GateHoldSerializer(serializers.ModelSerializer[GateHold]):
    made_by = serializers.CharField(source="made_by.username", read_only=True)
    lifted_by = serializers.CharField(source="lifted_by.username", default="", read_only=True)

    class Meta:
        model = GateHold
        fields = ("id", "reason", "made_by", "made_at", "lifted_by", "lifted_at")


class GateStateSerializer(serializers.Serializer[Any]):
    """Whether everything is stopped, and by whom."""

    held = serializers.BooleanField()
    hold = GateHoldSerializer(allow_null=True)
    under_way = serializers.ListField(
        child=serializers.IntegerField(),
        help_text="Proposals with a write that is on its way now: it is not called back.",
    )
