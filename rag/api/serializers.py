"""Shapes of the knowledge and chat API."""

from typing import Any

from rest_framework import serializers

from rag.models import Document, Kind


class HitSerializer(serializers.Serializer[Any]):
    """One passage found, with the reasons for its place."""

    passage_id = serializers.IntegerField()
    document = serializers.CharField(help_text="slug of the document")
    title = serializers.CharField()
    kind = serializers.ChoiceField(choices=Kind.choices)
    collection = serializers.CharField()
    revision = serializers.IntegerField()
    section = serializers.CharField()
    step = serializers.IntegerField(allow_null=True)
    page = serializers.IntegerField(allow_null=True)
    ordinal = serializers.IntegerField()
    text = serializers.CharField()
    url = serializers.CharField()
    score = serializers.FloatField(help_text="sum of the z-normalised scores of both legs")
    vector_rank = serializers.IntegerField(allow_null=True)
    text_rank = serializers.IntegerField(allow_null=True)
    similarity = serializers.FloatField(allow_null=True, help_text="cosine, -1…1")
    bm25 = serializers.FloatField()
    coverage = serializers.FloatField(help_text="share of the query's lexical weight found, 0…1")


class DocumentSerializer(serializers.ModelSerializer[Document]):
    """A document with the state of its newest revision."""

    collection = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    url = serializers.CharField(source="get_absolute_url", read_only=True)
    revision = serializers.IntegerField(source="newest_number", read_only=True, allow_null=True)
    state = serializers.CharField(source="newest_state", read_only=True, allow_null=True)
    error = serializers.CharField(source="newest_error", read_only=True, allow_null=True)
    passages = serializers.IntegerField(source="passage_count", read_only=True)
    embedded = serializers.IntegerField(source="embedded_count", read_only=True)

    class Meta:
        model = Document
        fields = (
            "slug", "title", "kind", "collection", "source_path", "sha256", "updated_at", "url",
            "revision", "state", "error", "passages", "embedded",
        )  # fmt: skip


class ErrorSerializer(serializers.Serializer[Any]):
    """Every error of the API."""

    code = serializers.CharField()
    detail = serializers.CharField()
