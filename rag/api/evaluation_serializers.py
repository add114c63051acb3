"""Shapes of the evaluation API."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from rag.models import EvaluationRun


class EvaluationRunSerializer(serializers.ModelSerializer[EvaluationRun]):
    """One run: what was measured, and its figures by ranking."""

    created_by = serializers.CharField(
        source="created_by.username", default=None, allow_null=True, read_only=True
    )
    setup = serializers.DictField(help_text="version, models, collection, options, counts")
    figures = serializers.DictField(help_text="by ranking: mrr, hit_1, hit_5, ndcg, recall, …")
    held = serializers.BooleanField(source="is_held", help_text="only totals are kept")

    class Meta:
        model = EvaluationRun
        fields: tuple[str, ...] = (
            "id", "kind", "name", "state", "done", "total", "error", "held",
            "setup", "figures", "created_by", "started_at", "finished_at",
        )  # fmt: skip


class EvaluationRowSerializer(serializers.Serializer[Any]):
    """One question of a retrieval run."""

    query = serializers.CharField()
    wanted = serializers.ListField(child=serializers.CharField())
    found = serializers.ListField(child=serializers.CharField(), help_text="first three passages")
    ranks = serializers.DictField(
        child=serializers.IntegerField(allow_null=True),
        help_text="rank of the first passage that answers, by ranking; null: not among them",
    )


class EvaluationDetailSerializer(EvaluationRunSerializer):
    """One run with its questions; `rows` is empty for held sets and other kinds of runs."""

    rows = serializers.SerializerMethodField()

    class Meta(EvaluationRunSerializer.Meta):
        fields = (*EvaluationRunSerializer.Meta.fields, "rows")

    @extend_schema_field(EvaluationRowSerializer(many=True))
    def get_rows(self, run: EvaluationRun) -> list[dict[str, Any]]:
        """Questions with the names of documents that the reader may see."""
        labels = self.context.get("labels")
        if labels is None or run.is_held:
            return []
        return [
            {
                "query": row.get("query", ""),
                "wanted": [labels.shown(str(label)) for label in row.get("wanted", [])],
                "found": [labels.shown(str(label)) for label in row.get("found", [])],
                "ranks": row["ranks"],
            }
            for row in run.rows
            if isinstance(row, dict) and isinstance(row.get("ranks"), dict)
        ]
