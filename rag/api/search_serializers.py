"""Shapes of a search and its explanation."""

from typing import Any

from rest_framework import serializers

from rag.api.serializers import HitSerializer
from rag.models import Kind
from rag.retrieval.fusion import METHODS


class MatchedTermSerializer(serializers.Serializer[Any]):
    """A word or code that was looked up, and what it did."""

    term = serializers.CharField(help_text="lexeme of PostgreSQL's English configuration, or code")
    weight = serializers.FloatField(help_text="1 as typed, codes more, what expansion added less")
    df = serializers.IntegerField(help_text="passages in scope that contain it")
    idf = serializers.FloatField()
    tf = serializers.FloatField(help_text="occurrences here, in title or section counted double")
    in_title = serializers.BooleanField()
    score = serializers.FloatField(help_text="its part of the BM25")


class PartSerializer(serializers.Serializer[Any]):
    """One summand of the fused score."""

    name = serializers.CharField()
    value = serializers.FloatField()


class AroundSerializer(serializers.Serializer[Any]):
    """The text of the passages before and after; null at an end of the document."""

    before = serializers.CharField(allow_null=True)
    after = serializers.CharField(allow_null=True)


class SearchHitSerializer(HitSerializer):
    """A passage found, with everything that led to its place."""

    rerank_score = serializers.FloatField(allow_null=True)
    matched = MatchedTermSerializer(many=True)
    parts = PartSerializer(many=True)
    before = serializers.IntegerField(allow_null=True, help_text="ordinal of the passage before")
    after = serializers.IntegerField(allow_null=True, help_text="ordinal of the passage after")
    around = AroundSerializer(required=False, help_text="with `neighbours=1` only")


class ExplanationSerializer(serializers.Serializer[Any]):
    """How the search went."""

    fusion = serializers.CharField()
    path = serializers.ChoiceField(
        choices=["exact", "index", "fallback", "none"],
        help_text="of the vectors; fallback: the index came back short, so all were scanned",
    )
    candidates = serializers.IntegerField()
    by_vector = serializers.IntegerField()
    by_text = serializers.IntegerField()
    passages = serializers.IntegerField(help_text="passages in scope: in force, readable, filtered")
    mean_words = serializers.FloatField()
    postings = serializers.IntegerField(help_text="occurrences scored")
    terms = MatchedTermSerializer(many=True)
    added = serializers.ListField(
        child=serializers.CharField(), help_text="what query expansion put in, in sentences"
    )
    reranked = serializers.BooleanField()
    embedding_model = serializers.CharField(allow_blank=True)
    timings_ms = serializers.DictField(child=serializers.FloatField())


class SearchQuerySerializer(serializers.Serializer[Any]):
    """The parameters of a search."""

    q = serializers.CharField(max_length=1000, help_text="what is looked for")
    k = serializers.IntegerField(default=5, min_value=1, max_value=50)
    collection = serializers.SlugField(required=False, help_text="slug; all when absent")
    kind = serializers.MultipleChoiceField(choices=Kind.choices, required=False)
    at = serializers.DateTimeField(
        required=False, help_text="search what was in force then; now when absent"
    )
    leg = serializers.ChoiceField(choices=["hybrid", "vector", "text"], default="hybrid")
    fusion = serializers.ChoiceField(choices=METHODS, required=False)
    rerank = serializers.BooleanField(
        allow_null=True, default=None, help_text="by the cross-encoder; where one is set if absent"
    )
    neighbours = serializers.BooleanField(default=False, help_text="add the text around each hit")


class SearchResultSerializer(serializers.Serializer[Any]):
    """Hits, best first. `confidence`: how sure it is that they answer the question, 0…1."""

    hits = SearchHitSerializer(many=True)
    degraded = serializers.CharField(allow_blank=True)
    confidence = serializers.FloatField()
    is_confident = serializers.BooleanField()
    explanation = ExplanationSerializer()
