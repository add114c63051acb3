"""Shapes of questions and answers (docs/answers.md explains every field)."""

from typing import Any

from rest_framework import serializers

from rag.api.serializers import HitSerializer


class AskSerializer(serializers.Serializer[Any]):
    """A question, and the conversation that it belongs to (kept in history when given)."""

    question = serializers.CharField(max_length=1000)
    session = serializers.IntegerField(required=False, min_value=1)
    collection = serializers.SlugField(
        required=False, max_length=80, help_text="search in this collection only"
    )
    at = serializers.DateTimeField(
        required=False, help_text="answer from the revisions that were in force at this time"
    )


class CitationSerializer(serializers.Serializer[Any]):
    """What a mark `[n]` in the answer points to; `passage_id` is null for live readings."""

    n = serializers.IntegerField()
    passage_id = serializers.IntegerField(allow_null=True)
    document = serializers.CharField(allow_blank=True)
    title = serializers.CharField()
    kind = serializers.CharField(allow_blank=True)
    section = serializers.CharField(allow_blank=True)
    step = serializers.IntegerField(allow_null=True)
    page = serializers.IntegerField(allow_null=True)
    revision = serializers.IntegerField(allow_null=True)
    effective_from = serializers.DateField(allow_null=True)
    in_force = serializers.BooleanField()
    flagged = serializers.BooleanField(help_text="the import found something suspicious in it")
    url = serializers.CharField()
    quote = serializers.CharField()


class AnswerStepSerializer(serializers.Serializer[Any]):
    """One step of a procedure."""

    n = serializers.IntegerField()
    title = serializers.CharField()
    url = serializers.CharField()
    shown = serializers.BooleanField(help_text="quoted in the answer")


class AnswerProcedureSerializer(serializers.Serializer[Any]):
    """The procedure that the best passage belongs to; `current` is that passage's step."""

    title = serializers.CharField()
    document = serializers.CharField()
    url = serializers.CharField()
    revision = serializers.IntegerField()
    current = serializers.IntegerField(allow_null=True)
    steps = AnswerStepSerializer(many=True)


class AnswerRevisionSerializer(serializers.Serializer[Any]):
    """A revision that the answer used."""

    document = serializers.CharField()
    title = serializers.CharField()
    kind = serializers.CharField()
    revision = serializers.IntegerField()
    label = serializers.CharField(  # type: ignore[assignment]
        help_text="`EOP-CRAC-01 rev. 3, in force since 2026-03-01`"
    )
    effective_from = serializers.DateField()
    superseded_at = serializers.DateField(allow_null=True)
    in_force = serializers.BooleanField()
    review_due = serializers.DateField(allow_null=True)
    review_overdue = serializers.BooleanField()
    approver = serializers.CharField(allow_blank=True)
    url = serializers.CharField()


class AnswerNoteSerializer(serializers.Serializer[Any]):
    """A warning about the sources: past, superseded, review_due, flagged, experience,
    candidates."""

    code = serializers.CharField()
    text = serializers.CharField()


class CandidateSerializer(serializers.Serializer[Any]):
    """Another procedure that fits as well."""

    document = serializers.CharField()
    title = serializers.CharField()
    kind = serializers.CharField()
    revision = serializers.IntegerField()
    section = serializers.CharField(allow_blank=True)
    url = serializers.CharField()


class AnswerToolSerializer(serializers.Serializer[Any]):
    """A read-only tool that ran, with its result."""

    name = serializers.CharField()
    result = serializers.DictField()


class AnswerTimingSerializer(serializers.Serializer[Any]):
    """Milliseconds from the question; null where the stage did not happen."""

    retrieval = serializers.IntegerField(allow_null=True)
    first_token = serializers.IntegerField(allow_null=True)
    total = serializers.IntegerField()


class AnswerSerializer(serializers.Serializer[Any]):
    """A checked answer. `mode`: answer (sentences of the model that passed every check), quote
    (only the documents' own words, below a tool's where one ran), tool (a tool's alone), none (not in
    the documents)."""

    answer = serializers.CharField()
    mode = serializers.ChoiceField(choices=["answer", "quote", "tool", "none"])
    citations = CitationSerializer(many=True)
    grounded = serializers.BooleanField()
    dropped = serializers.IntegerField(help_text="sentences of the draft that no source supports")
    replaced = serializers.IntegerField(help_text="sentences replaced by the source's own words")
    passages = HitSerializer(many=True)
    procedure = AnswerProcedureSerializer(allow_null=True)
    candidates = CandidateSerializer(many=True)
    revisions = AnswerRevisionSerializer(many=True)
    notes = AnswerNoteSerializer(many=True)
    asked_as = serializers.CharField(allow_blank=True, help_text="the follow-up written out")
    at = serializers.DateTimeField(allow_null=True, help_text="the past time asked about")
    tools = AnswerToolSerializer(many=True)
    degraded = serializers.CharField(allow_blank=True)
    llm = serializers.CharField(allow_blank=True)
    timing = AnswerTimingSerializer()
    message = serializers.IntegerField(required=False, help_text="id in the conversation")
    session = serializers.IntegerField(required=False)
