"""How the knowledge base grows: outcome reports to release, and gaps to close."""

from typing import ClassVar

from django.conf import settings
from django.db import models

from .document import Collection, Document


class OutcomeReport(models.Model):
    """What was seen, proposed, decided, done and measured, written when a proposal is closed.

    `reference` names what it is about (`proposal-17`) and is unique. Released, it becomes a
    document of the kind report in the collection `experience`. `body` holds recorded facts and
    is never edited; `note` is what the supervisor adds on release.
    """

    class State(models.TextChoices):
        DRAFT = "draft", "Waiting for release"
        RELEASED = "released", "Released"
        DISMISSED = "dismissed", "Dismissed"

    reference = models.CharField(max_length=80, unique=True)
    url = models.CharField(max_length=300, blank=True)
    title = models.CharField(max_length=300)
    body = models.TextField(help_text="Markdown")
    facts = models.JSONField(default=dict, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    document = models.OneToOneField(
        Document, on_delete=models.SET_NULL, null=True, blank=True, related_name="outcome_report"
    )
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    note = models.CharField(max_length=2000, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at"]
        permissions = (("release_report", "Can release outcome reports into the knowledge base"),)
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["state", "-created_at"], name="rag_report_state"),
        ]

    def __str__(self) -> str:
        return self.title


class Gap(models.Model):
    """Something that the documents should say and do not, for their owners.

    `key` identifies it within its kind, so that a gap met again is counted, not doubled.
    `subject` is the document it is about, `closing` the one that a person named to close it (it
    stays open until a check agrees). `collection` limits who sees it; empty: everybody.
    `seen_at` is when it was last met, `checked_at` when it was last looked at whether it still is
    one.
    """

    class Kind(models.TextChoices):
        QUESTION = "question", "Question without answer"
        ALARM = "alarm", "Alarm without procedure"
        REVIEW = "review", "Review due"
        IMPORT = "import", "Import that fails"
        FLAGGED = "flagged", "Flagged text"
        FEEDBACK = "feedback", "Answers judged wrong"

    class State(models.TextChoices):
        OPEN = "open", "Open"
        CLOSED = "closed", "Closed"
        DISMISSED = "dismissed", "Dismissed"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    key = models.CharField(max_length=200)
    title = models.CharField(max_length=300)
    detail = models.JSONField(default=dict, blank=True)
    owner = models.CharField(max_length=200, blank=True)
    count = models.PositiveIntegerField(default=1)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    note = models.CharField(max_length=500, blank=True)
    subject = models.ForeignKey(
        Document, on_delete=models.CASCADE, null=True, blank=True, related_name="gaps"
    )
    closing = models.ForeignKey(
        Document, on_delete=models.SET_NULL, null=True, blank=True, related_name="closes_gaps"
    )
    collection = models.ForeignKey(
        Collection, on_delete=models.CASCADE, null=True, blank=True, related_name="gaps"
    )
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    first_seen = models.DateTimeField(auto_now_add=True)
    last_seen = models.DateTimeField(auto_now=True)
    seen_at = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-last_seen"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["kind", "key"], name="rag_gap_once"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["state", "kind"], name="rag_gap_state"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.title}"
