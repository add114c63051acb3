"""Shapes of the gaps and outcome reports."""

from typing import Any

from rest_framework import serializers

from rag.models import Document, Gap, OutcomeReport


class KnowledgeGapSerializer(serializers.ModelSerializer[Gap]):
    """A gap. `detail` depends on its kind (docs/knowledge-growth.md); no names of people."""

    kind_name = serializers.CharField(source="get_kind_display", read_only=True)
    subject = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    closing = serializers.SerializerMethodField(
        help_text="slug of the document that closes it, or was named to"
    )
    detail = serializers.JSONField(read_only=True)

    class Meta:
        model = Gap
        fields = (
            "id", "kind", "kind_name", "title", "detail", "owner", "count", "state", "note",
            "subject", "closing", "first_seen", "seen_at", "checked_at", "decided_at",
        )  # fmt: skip

    def get_closing(self, gap: Gap) -> str | None:
        """Left out where the reader may not read that document."""
        readable = self.context.get("readable")
        if gap.closing is None or readable is None or gap.closing.collection_id not in readable:
            return None
        return gap.closing.slug


class GapAssignSerializer(serializers.Serializer[Any]):
    """The new owner."""

    owner = serializers.CharField(max_length=200, allow_blank=True, trim_whitespace=True)


class GapLinkSerializer(serializers.Serializer[Any]):
    """The document that closes the gap."""

    document = serializers.SlugField(max_length=120, help_text="slug of a document")


class ReleaseNoteSerializer(serializers.Serializer[Any]):
    """What the supervisor adds."""

    note = serializers.CharField(max_length=2000, allow_blank=True, default="")


class ReportSerializer(serializers.ModelSerializer[OutcomeReport]):
    """An outcome report; `document` is set once it was released."""

    document = serializers.SlugRelatedField[Document](slug_field="slug", read_only=True)
    decided_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)
    facts = serializers.JSONField(read_only=True)

    class Meta:
        model = OutcomeReport
        fields = (
            "id", "reference", "url", "title", "body", "facts", "state", "document", "note",
            "reason", "decided_by", "decided_at", "created_at",
        )  # fmt: skip
