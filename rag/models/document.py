"""Collections, documents and their revisions."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone


class Kind(models.TextChoices):
    """What a document is for; procedures are SOP, MOP and EOP."""

    MANUAL = "manual", "Manual"
    SOP = "sop", "SOP"
    MOP = "mop", "MOP"
    EOP = "eop", "EOP"
    REPORT = "report", "Outcome report"
    NOTE = "note", "Note"


class RevisionState(models.TextChoices):
    """importing: passages are being embedded; ready: searchable; failed: see the error."""

    IMPORTING = "importing", "Importing"
    READY = "ready", "Ready"
    FAILED = "failed", "Failed"


class Collection(models.Model):
    """A shelf of documents that belong together, such as `procedures`."""

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=120)

    class Meta:
        ordering: ClassVar[list[str]] = ["name"]

    def __str__(self) -> str:
        return self.name


class Document(models.Model):
    """One document through all its revisions.

    `source_path` is the path that it was imported under and identifies it within its collection;
    `sha256` is the digest of the newest imported file.
    """

    collection = models.ForeignKey(Collection, on_delete=models.PROTECT, related_name="documents")
    slug = models.SlugField(max_length=120, unique=True)
    title = models.CharField(max_length=300)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    source_path = models.CharField(max_length=500)
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["title", "slug"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["collection", "source_path"], name="rag_document_source_once"
            ),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        """The document viewer."""
        return reverse("rag:document", args=[self.slug])


class RevisionQuerySet(models.QuerySet["Revision"]):
    """Queries on revisions."""

    def in_force(self) -> "RevisionQuerySet":
        """Revisions that answers may use now: ready, effective, not superseded."""
        now = timezone.now()
        return self.filter(
            Q(superseded_at__isnull=True) | Q(superseded_at__gt=now),
            state=RevisionState.READY,
            effective_from__lte=now,
        )


class Revision(models.Model):
    """One state of a document. The former revision serves until this one is ready.

    `number` grows by one with each import unless the front matter declares a higher one.
    """

    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    effective_from = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)
    author = models.CharField(max_length=200, blank=True)
    approver = models.CharField(max_length=200, blank=True)
    sha256 = models.CharField(max_length=64)
    markup = models.CharField(max_length=10, default="text")
    meta = models.JSONField(default=dict, blank=True)
    state = models.CharField(
        max_length=10, choices=RevisionState.choices, default=RevisionState.IMPORTING
    )
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = RevisionQuerySet.as_manager()

    class Meta:
        ordering: ClassVar[list[str]] = ["document", "-number"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["document", "number"], name="rag_revision_number_once"),
        ]

    def __str__(self) -> str:
        return f"{self.document} rev. {self.number}"

    @property
    def is_in_force(self) -> bool:
        """Whether answers use this revision now."""
        now = timezone.now()
        return (
            self.state == RevisionState.READY
            and self.effective_from <= now
            and (self.superseded_at is None or self.superseded_at > now)
        )
