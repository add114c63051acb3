"""Imports: one row per file, from upload or folder to searchable."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models

from .document import Collection, Document, Kind, Revision, StoredFile


class ImportJob(models.Model):
    """One file on its way into the library. `batch` groups what was handed in together.

    `note` says in one sentence what became of it, where it is not simply done. A worker claims a
    queued job by a conditional update, which counts `attempts`; `touched_at` is its heartbeat.
    """

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        PARSING = "parsing", "Reading"
        EMBEDDING = "embedding", "Embedding"
        DONE = "done", "In the library"
        UNCHANGED = "unchanged", "Unchanged"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    class Origin(models.TextChoices):
        UPLOAD = "upload", "Upload"
        WATCH = "watch", "Watch folder"
        COMMAND = "command", "Command"

    batch = models.UUIDField(default=uuid.uuid4, db_index=True)
    origin = models.CharField(max_length=10, choices=Origin.choices)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    collection = models.ForeignKey(Collection, on_delete=models.CASCADE, related_name="jobs")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    source_path = models.CharField(max_length=500)
    file = models.ForeignKey(
        StoredFile, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    note = models.TextField(blank=True)
    document = models.ForeignKey(
        Document, on_delete=models.SET_NULL, null=True, blank=True, related_name="jobs"
    )
    revision = models.ForeignKey(
        Revision, on_delete=models.SET_NULL, null=True, blank=True, related_name="jobs"
    )
    attempts = models.PositiveIntegerField(default=0)
    passages_total = models.PositiveIntegerField(default=0)
    passages_done = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    touched_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-id"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["state", "created_at"], name="rag_job_state"),
        ]

    def __str__(self) -> str:
        return f"{self.source_path}: {self.get_state_display()}"

    @property
    def is_finished(self) -> bool:
        """Whether nothing happens to it any more unless a person asks."""
        return self.state not in ACTIVE_STATES


ACTIVE_STATES = (ImportJob.State.QUEUED, ImportJob.State.PARSING, ImportJob.State.EMBEDDING)
