"""How the knowledge base grows: outcome reports to release, and gaps to close."""

from typing import ClassVar

from django.conf import settings
from django.db import models

from .document import Document


class OutcomeReport(models.Model):
    """What was seen, proposed, decided, done and measured, written when a proposal is closed.

    `reference` names what it is about (`proposal-17`) and is unique. Released, it becomes a
    document of the kind report in the collection `experience`.
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
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at"]

    def __str__(self) -> str:
        return self.title


class Gap(models.Model):
    """Something that the documents should say and do not, for their owners.

    `key` identifies it within its kind, so that a gap met again is counted, not doubled.
    """

    class Kind(models.TextChoices):
        QUESTION = "question", "Question without answer"
        ALARM = "alarm", "Alarm without procedure"
        REVIEW = "review", "Past its review date"

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
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    first_seen = models.DateTimeField(auto_now_add=True)
    last_seen = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-last_seen"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["kind", "key"], name="rag_gap_once"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.title}"
