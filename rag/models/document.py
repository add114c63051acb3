"""Collections, documents and their revisions."""

from datetime import datetime
from typing import ClassVar

from django.contrib.auth.models import Group
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
    description = models.CharField(max_length=300, blank=True)
    groups = models.ManyToManyField(
        Group,
        blank=True,
        related_name="collections",
        help_text="Only members of these groups find and read its documents. None: everybody.",
    )

    class Meta:
        ordering: ClassVar[list[str]] = ["name"]

    def __str__(self) -> str:
        return self.name


class StoredFile(models.Model):
    """The bytes of an imported file, kept once per content, so that pages can be rendered, a
    file downloaded and a revision parsed again on any host."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    media_type = models.CharField(max_length=100)
    size = models.PositiveBigIntegerField()
    data = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.sha256[:12]} ({self.size} bytes)"


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
    owner = models.CharField(max_length=200, blank=True)
    withdrawn_at = models.DateTimeField(
        null=True, blank=True, help_text="From then on no answer uses it; its revisions are kept."
    )
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

    def in_force(self, at: datetime | None = None) -> "RevisionQuerySet":
        """Revisions that answers may use at a time (now): ready, effective, not superseded, of a
        document that was not withdrawn."""
        at = at or timezone.now()
        return self.filter(
            Q(superseded_at__isnull=True) | Q(superseded_at__gt=at),
            Q(document__withdrawn_at__isnull=True) | Q(document__withdrawn_at__gt=at),
            state=RevisionState.READY,
            effective_from__lte=at,
        )


class Revision(models.Model):
    """One state of a document. The former revision serves until this one is ready.

    `number` grows by one with each import unless the front matter declares a higher one. `flags`
    are what the import noticed and a person should look at: `{"code", "detail", "page"?}` (hidden
    text, sentences that read like instructions to a model). `title` and `kind` become the
    document's when the revision is activated.
    """

    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    title = models.CharField(max_length=300, blank=True)
    kind = models.CharField(max_length=10, choices=Kind.choices, blank=True)
    effective_from = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)
    author = models.CharField(max_length=200, blank=True)
    approver = models.CharField(max_length=200, blank=True)
    sha256 = models.CharField(max_length=64)
    markup = models.CharField(max_length=10, default="text")
    meta = models.JSONField(default=dict, blank=True)
    file = models.ForeignKey(
        StoredFile, on_delete=models.PROTECT, null=True, blank=True, related_name="revisions"
    )
    pages = models.PositiveIntegerField(null=True, blank=True)
    review_due = models.DateField(null=True, blank=True)
    flags = models.JSONField(default=list, blank=True)
    state = models.CharField(
        max_length=10, choices=RevisionState.choices, default=RevisionState.IMPORTING
    )
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    activated_at = models.DateTimeField(null=True, blank=True)

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
        withdrawn = self.document.withdrawn_at
        return (
            self.state == RevisionState.READY
            and self.effective_from <= now
            and (self.superseded_at is None or self.superseded_at > now)
            and (withdrawn is None or withdrawn > now)
        )
