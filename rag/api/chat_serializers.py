"""What the chat's REST endpoints take and give: conversations, messages, feedback."""

from typing import Any

from rest_framework import serializers

from rag.models import Feedback


class SnippetSerializer(serializers.Serializer[Any]):
    """A piece of a message that was found; `parts` are [text, is a hit]."""

    role = serializers.CharField()
    parts = serializers.ListField(child=serializers.ListField())


class SessionSerializer(serializers.Serializer[Any]):
    """One of your own conversations."""

    id = serializers.IntegerField()
    title = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    questions = serializers.IntegerField()
    found = SnippetSerializer(many=True, help_text="Where the searched words stand")


class SessionPageSerializer(serializers.Serializer[Any]):
    """A page of conversations."""

    count = serializers.IntegerField()
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = SessionSerializer(many=True)


class MessageSerializer(serializers.Serializer[Any]):
    """A question or an answer as shown. `mode` closed: it quoted what you may no longer read."""

    id = serializers.IntegerField()
    role = serializers.ChoiceField(choices=["user", "assistant"])
    created_at = serializers.DateTimeField()
    text = serializers.CharField()
    mode = serializers.CharField(allow_blank=True)
    asked_as = serializers.CharField(allow_blank=True)
    citations = serializers.ListField(child=serializers.DictField())
    revisions = serializers.ListField(child=serializers.DictField())
    notes = serializers.ListField(child=serializers.DictField())
    candidates = serializers.ListField(child=serializers.DictField())
    procedure = serializers.DictField(allow_null=True)
    tools = serializers.ListField(child=serializers.DictField())
    grounded = serializers.BooleanField()
    dropped = serializers.IntegerField()
    degraded = serializers.CharField(allow_blank=True)
    llm = serializers.CharField(allow_blank=True)
    duration_ms = serializers.IntegerField(allow_null=True)


class SessionDetailSerializer(serializers.Serializer[Any]):
    """A conversation with its messages, oldest first."""

    id = serializers.IntegerField()
    title = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    messages = MessageSerializer(many=True)


class SessionTitleSerializer(serializers.Serializer[Any]):
    """A new title."""

    title = serializers.CharField(max_length=120)


class FeedbackSerializer(serializers.Serializer[Any]):
    """A judgement of one answer; the last one counts. A bad one needs a reason."""

    is_good = serializers.BooleanField()
    reason = serializers.ChoiceField(
        choices=Feedback.Reason.choices, required=False, allow_blank=True
    )
    comment = serializers.CharField(max_length=1000, required=False, allow_blank=True)
    correction = serializers.CharField(max_length=4000, required=False, allow_blank=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a thumb down without a reason."""
        if not attrs["is_good"] and not attrs.get("reason"):
            names = ", ".join(Feedback.Reason.values)
            raise serializers.ValidationError({"reason": [f"A thumb down needs one of: {names}."]})
        return attrs


class GoldenSerializer(serializers.Serializer[Any]):
    """The golden question that a feedback became."""

    id = serializers.IntegerField()
    query = serializers.CharField()
    relevant = serializers.ListField()
    is_answerable = serializers.BooleanField()
