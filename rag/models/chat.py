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
    """A question or an answer. `citations` and `procedure` are stored as
    they were shown."""

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
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["session", "id"]

    def __str__(self) -> str:
        return f"{self.role}: {self.text[:60]}"
