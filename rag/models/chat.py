"""Conversations, kept per user."""

from typing import ClassVar

from django.conf import settings
from django.db import models


class ChatSession(models.Model):
    """One conversation; only its user sees it."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="chat_sessions"
    )
    title = models.CharField(max_length=120)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-updated_at"]

    def __str__(self) -> str:
        return self.title


class ChatMessage(models.Model):
    """A question or an answer. `citations`, `procedure` and `tools` are stored as they were shown.

    `asked_as` is a follow-up question with what it refers to written out; `passages` are the ids
    of what retrieval found, best first; `dropped` counts sentences that no source supported.
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
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["session", "id"]

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
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["message", "user"], name="rag_feedback_once"),
        ]

    def __str__(self) -> str:
        return f"{'good' if self.is_good else 'bad'}: {self.message_id}"
