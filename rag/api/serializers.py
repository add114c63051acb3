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


class SearchQuerySerializer(serializers.Serializer[Any]):
    """The parameters of a search."""

    q = serializers.CharField(max_length=1000, help_text="what is looked for")
    k = serializers.IntegerField(default=5, min_value=1, max_value=50)
    collection = serializers.SlugField(required=False, help_text="slug; all when absent")
    kind = serializers.MultipleChoiceField(choices=Kind.choices, required=False)


class SearchResultSerializer(serializers.Serializer[Any]):
    """Hits, best first."""

    hits = HitSerializer(many=True)
    degraded = serializers.CharField(allow_blank=True)


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


class UploadSerializer(serializers.Serializer[Any]):
    """One file to import."""

    file = serializers.FileField(help_text="Markdown, HTML, PDF or plain text, at most 25 MiB")
    collection = serializers.SlugField(max_length=80)
    kind = serializers.ChoiceField(choices=Kind.choices)


class UploadResultSerializer(serializers.Serializer[Any]):
    """What became of the file."""

    status = serializers.ChoiceField(choices=["imported", "unchanged"])
    passages = serializers.IntegerField()
    document = DocumentSerializer()


class AskSerializer(serializers.Serializer[Any]):
    """A question, and the conversation that it belongs to (kept in history when given)."""

    question = serializers.CharField(max_length=1000)
    session = serializers.IntegerField(required=False, min_value=1)


class CitationSerializer(serializers.Serializer[Any]):
    """What a mark `[n]` in the answer points to; `passage_id` is null for live readings."""

    n = serializers.IntegerField()
    passage_id = serializers.IntegerField(allow_null=True)
    document = serializers.CharField(allow_blank=True)
    title = serializers.CharField()
    section = serializers.CharField(allow_blank=True)
    step = serializers.IntegerField(allow_null=True)
    page = serializers.IntegerField(allow_null=True)
    revision = serializers.IntegerField(allow_null=True)
    url = serializers.CharField()
    quote = serializers.CharField()


class StepSerializer(serializers.Serializer[Any]):
    """One step of a procedure."""

    n = serializers.IntegerField()
    title = serializers.CharField()
    url = serializers.CharField()


class ProcedureSerializer(serializers.Serializer[Any]):
    """The procedure that the best passage belongs to; `current` is that passage's step."""

    title = serializers.CharField()
    url = serializers.CharField()
    revision = serializers.IntegerField()
    current = serializers.IntegerField(allow_null=True)
    steps = StepSerializer(many=True)


class AnswerSerializer(serializers.Serializer[Any]):
    """A checked answer. `mode`: answer (checked draft), quote (verbatim), tool, none."""

    answer = serializers.CharField()
    mode = serializers.ChoiceField(choices=["answer", "quote", "tool", "none"])
    citations = CitationSerializer(many=True)
    grounded = serializers.BooleanField()
    dropped = serializers.IntegerField(help_text="sentences of the draft that no source supports")
    passages = HitSerializer(many=True)
    degraded = serializers.CharField(allow_blank=True)
    procedure = ProcedureSerializer(allow_null=True)


class ErrorSerializer(serializers.Serializer[Any]):
    """Every error of the API."""

    code = serializers.CharField()
    detail = serializers.CharField()
