"""JSON shapes of emergency approvals."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rest_framework import serializers

from approvals.models import BreakGlass, BreakGlassReview, ReviewVerdict


class ReviewSerializer(serializers.ModelSerializer[BreakGlassReview]):
    reviewer = serializers.CharField(source="reviewer.username", read_only=True)

    class Meta:
        model = BreakGlassReview
        fields = ("reviewer", "verdict", "comment", "at")


class BreakGlassSerializer(serializers.ModelSerializer[BreakGlass]):
    """Pass rows of `services.break_glass.break_glasses()`."""

    proposal = serializers.IntegerField(source="decision.proposal_id", read_only=True)
    title = serializers.CharField(source="decision.proposal.title", read_only=True)
    user = serializers.CharField(source="decision.user.username", read_only=True)
    reason = serializers.CharField(source="decision.reason", read_only=True)
    at = serializers.DateTimeField(source="decision.at", read_only=True)
    reviews = ReviewSerializer(many=True, read_only=True)
    is_overdue = serializers.SerializerMethodField()

    class Meta:
        model = BreakGlass
        fields = (
            "id",
            "proposal",
            "title",
            "user",
            "reason",
            "at",
            "waived",
            "reviews_needed",
            "due_at",
            "closed_at",
            "is_overdue",
            "reviews",
        )

    def get_is_overdue(self, found: BreakGlass) -> bool:
        return found.closed_at is None and found.due_at <= timezone.now()


class ReviewWishSerializer(serializers.Serializer[Any]):
    verdict = serializers.ChoiceField(choices=ReviewVerdict.choices)
    comment = serializers.CharField(max_length=4000, help_text="What was looked at, and why.")
