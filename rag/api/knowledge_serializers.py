"""Shapes of the documents, imports and collections API."""

from typing import Any

from django.contrib.auth.models import Group
from django.urls import reverse
from rest_framework import serializers

from rag.api.serializers import DocumentSerializer
from rag.models import Collection, DocumentEvent, ImportJob, Kind, Revision


class UploadSerializer(serializers.Serializer[Any]):
    """One file to import, or a ZIP of files."""

    file = serializers.FileField(
        allow_empty_file=True,
        help_text="PDF, Word (.docx), Markdown, HTML or plain text, at most 25 MiB; or a ZIP of "
        "them, at most 100 MiB",
    )
    collection = serializers.SlugField(max_length=80, help_text="made on first use")
    kind = serializers.ChoiceField(choices=Kind.choices)
    path = serializers.CharField(
        max_length=500,
        required=False,
        default="",
        allow_blank=True,
        help_text="where the file lay in a dropped folder; names the document in its collection",
    )
    batch = serializers.UUIDField(
        required=False, help_text="groups what is handed in together (default: a new one)"
    )


class ImportJobSerializer(serializers.ModelSerializer[ImportJob]):
    """One file on its way into the library."""

    url = serializers.SerializerMethodField()
    collection = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    document = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    document_url = serializers.SerializerMethodField()
    revision = serializers.IntegerField(
        source="revision.number", read_only=True, allow_null=True, default=None
    )
    state_label = serializers.CharField(source="get_state_display", read_only=True)
    by = serializers.CharField(
        source="created_by.username", read_only=True, allow_null=True, default=None
    )
    can_retry = serializers.SerializerMethodField()
    can_cancel = serializers.SerializerMethodField()

    class Meta:
        model = ImportJob
        fields = (
            "id", "url", "batch", "origin", "by", "collection", "kind", "source_path", "state",
            "state_label", "note", "document", "document_url", "revision", "passages_total",
            "passages_done", "attempts", "created_at", "started_at", "finished_at", "can_retry",
            "can_cancel",
        )  # fmt: skip

    def get_url(self, job: ImportJob) -> str:
        """Where this job's state can be asked for."""
        return reverse("knowledge-import", args=[job.pk])

    def get_document_url(self, job: ImportJob) -> str:
        """The document's viewer; empty until it is known."""
        return job.document.get_absolute_url() if job.document else ""

    def get_can_retry(self, job: ImportJob) -> bool:
        """Whether it can be started again."""
        ended = (ImportJob.State.FAILED, ImportJob.State.CANCELLED)
        return job.state in ended and job.file_id is not None

    def get_can_cancel(self, job: ImportJob) -> bool:
        """Whether it can be stopped."""
        return not job.is_finished


class UploadResultSerializer(ImportJobSerializer):
    """What became of an upload: the first job's fields, and every job of the batch."""

    status = serializers.ChoiceField(choices=["queued", "failed"], read_only=True)
    jobs = ImportJobSerializer(many=True, read_only=True)

    class Meta(ImportJobSerializer.Meta):
        fields = ("status", *ImportJobSerializer.Meta.fields, "jobs")  # type: ignore[assignment]


class UnchangedSerializer(serializers.Serializer[Any]):
    """The answer to bytes that the library holds already."""

    status = serializers.ChoiceField(choices=["unchanged"])
    batch = serializers.UUIDField()
    document = DocumentSerializer()


class ReasonSerializer(serializers.Serializer[Any]):
    """Why a person decided so."""

    reason = serializers.CharField(max_length=400, allow_blank=True, default="")


class MoveSerializer(ReasonSerializer):
    """Where a document is to stand, and why."""

    collection = serializers.SlugField(max_length=80, help_text="slug of a collection you may read")


class RevisionSerializer(serializers.ModelSerializer[Revision]):
    """One state of a document."""

    class Meta:
        model = Revision
        fields = (
            "number", "title", "kind", "state", "error", "effective_from", "superseded_at",
            "is_in_force", "author", "approver", "review_due", "pages", "sha256", "flags",
            "created_at", "activated_at",
        )  # fmt: skip

    is_in_force = serializers.BooleanField(read_only=True)


class EventSerializer(serializers.ModelSerializer[DocumentEvent]):
    """One entry of a document's history."""

    by = serializers.CharField(
        source="user.username", read_only=True, allow_null=True, default=None
    )

    class Meta:
        model = DocumentEvent
        fields = ("action", "revision", "by", "reason", "at")


class DocumentDetailSerializer(DocumentSerializer):
    """A document with its revisions and its history, newest first."""

    revisions = RevisionSerializer(many=True, read_only=True)
    events = EventSerializer(many=True, read_only=True)

    class Meta(DocumentSerializer.Meta):
        fields = (  # type: ignore[assignment]
            *DocumentSerializer.Meta.fields, "owner", "withdrawn_at", "revisions", "events",
        )  # fmt: skip


class CollectionSerializer(serializers.ModelSerializer[Collection]):
    """A shelf of documents; without groups everybody signed in reads it."""

    groups = serializers.SlugRelatedField(
        slug_field="name",
        many=True,
        required=False,
        queryset=Group.objects.all(),
        help_text="names of groups; none: everybody",
    )
    documents = serializers.IntegerField(source="document_count", read_only=True)

    class Meta:
        model = Collection
        fields = ("slug", "name", "description", "groups", "documents")

    def update(self, instance: Collection, validated_data: dict[str, Any]) -> Collection:
        """Everything but the slug, which links and imports use."""
        validated_data.pop("slug", None)
        return super().update(instance, validated_data)


class EmbeddingModelSerializer(serializers.Serializer[Any]):
    """An embedding model, and how far it is filled."""

    name = serializers.CharField()
    dimensions = serializers.IntegerField()
    state = serializers.ChoiceField(
        choices=["building", "serving", "retired"], help_text="exactly one serves"
    )
    done = serializers.IntegerField(help_text="passages embedded")
    total = serializers.IntegerField(help_text="passages of revisions that are or were in force")
    error = serializers.CharField(allow_blank=True, help_text="what it waits for")
    serving_since = serializers.DateTimeField(allow_null=True)
