"""JSON of investigations."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from approvals.models import Investigation, InvestigationOutcome


class InvestigationRequestSerializer(serializers.Serializer[dict[str, Any]]):
    """What to look at: an asset's tag, or a question that names equipment."""

    question = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)
    asset = serializers.CharField(max_length=80, required=False, default="", allow_blank=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not (attrs["question"].strip() or attrs["asset"].strip()):
            raise serializers.ValidationError("say what to look at: asset or question")
        return attrs


class InvestigationSummarySerializer(serializers.ModelSerializer[Investigation]):
    """One look of the agent without its steps."""

    title = serializers.CharField(read_only=True)
    asked_by = serializers.CharField(source="asked_by.username", default="", read_only=True)
    duration_ms = serializers.FloatField(read_only=True)

    class Meta:
        model = Investigation
        fields = (
            "id", "trigger", "title", "alarm", "subject", "question", "asked_by", "outcome",
            "conclusion", "with_model", "proposal", "attempts", "started_at", "finished_at",
            "duration_ms",
        )  # fmt: skip
        read_only_fields = fields


class InvestigationSerializer(InvestigationSummarySerializer):
    """One look with its hypotheses and every step it took."""

    hypotheses = serializers.JSONField(read_only=True)
    timeline = serializers.JSONField(read_only=True)

    class Meta(InvestigationSummarySerializer.Meta):
        fields = (*InvestigationSummarySerializer.Meta.fields, "hypotheses", "timeline")  # type: ignore[assignment]
        read_only_fields = fields  # type: ignore[assignment]


OUTCOMES = [value for value in InvestigationOutcome.values if value]
