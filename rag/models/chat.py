"""Conversations, kept per user."""

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models


class ChatSession(models.Model):
    """One conversation; only its user sees it. A deleted one can be restored until it is purged."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="chat_sessions"
    )
    title = models.CharField(max_length=120)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-updated_at"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["user", "-updated_at"], name="rag_chat_own"),
        ]

    def __str__(self) -> str:
        return self.title


class ChatMessage(models.Model):
    """A question or an answer. `citations`, `procedure` and `tools` are stored as they were shown.

    `asked_as` is a follow-up question with what it refers to written out; `passages` are the ids
    of what retrieval found, best first; `dropped` counts sentences that no source supported.
    `details` holds the rest of the answer event (revisions, notes, candidates, timing);
    `documents` are the slugs of what it quotes, so that it is not shown again where the user may
    no longer read one of them.
    """

    class Role(models.TextChoices):
        USER = "user", "User"
        ASSISTANT = "assistant", "Assistant"

    session = models.ForeignKey(ChatSession, on_delete=models.CASCADE, related_name="messages")
    role = models.CharField(max_length=10, choices=Role.choices)
    text = models.TextField()
    mode = models.CharField(max_length=10, blank=True)
    citations = models.JSONField(default=list, blank=True)
    procedure = models.JSONField(null=True, blank=True)
    grounded = models.BooleanField(default=False)
    degraded = models.CharField(max_length=300, blank=True)
    asked_as = models.CharField(max_length=1200, blank=True)
    tools = models.JSONField(default=list, blank=True)
    passages = models.JSONField(default=list, blank=True)
    dropped = models.PositiveIntegerField(default=0)
    llm = models.CharField(max_length=200, blank=True)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    details = models.JSONField(default=dict, blank=True)
    documents = ArrayField(models.CharField(max_length=120), default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    tsv = models.GeneratedField(
        expression=SearchVector("text", config="english"),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    class Meta:
        ordering: ClassVar[list[str]] = ["session", "id"]
        indexes: ClassVar[list[models.Index]] = [GinIndex(fields=["tsv"], name="rag_chat_tsv")]

    def __str__(self) -> str:
        return f"{self.role}: {self.text[:60]}"


class Feedback(models.Model):
    """A user's judgement of one answer; the last one counts."""

    class Reason(models.TextChoices):
        WRONG = "wrong", "It is wrong"
        INCOMPLETE = "incomplete", "Something is missing"
        SOURCE = "source", "Wrong or outdated source"
        NOT_ANSWERED = "not_answered", "It did not answer the question"
        OTHER = "other", "Other"

    message = models.ForeignKey(ChatMessage, on_delete=models.CASCADE, related_name="feedback")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="answer_feedback"
    )
    is_good = models.BooleanField()
    reason = models.CharField(max_length=20, choices=Reason.choices, blank=True)
    comment = models.CharField(max_length=1000, blank=True)
    correction = models.TextField(blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-updated_at"]
        permissions = (("review_feedback", "Can review the feedback of all users"),)
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["message", "user"], name="rag_feedback_once"),
        ]

    def __str__(self) -> str:
        return f"{'good' if self.is_good else 'bad'}: {self.message_id}"
