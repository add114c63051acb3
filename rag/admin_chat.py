"""Admin console of the chat: conversations without their words, and the feedback.

What somebody asked is theirs alone; an administrator sees that conversations exist, how old they
are, and may delete them. Judged answers were handed over by their users and are readable.
"""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from rag.models import ChatMessage, ChatSession, Feedback


@admin.register(ChatSession)
class ChatSessionAdmin(ModelAdmin):
    list_display = ("id", "user", "created_at", "updated_at", "deleted_at")
    list_filter = ("deleted_at",)
    search_fields = ("user__username",)
    fields = ("user", "created_at", "updated_at", "deleted_at")
    readonly_fields = fields
    list_select_related = ("user",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Conversations begin in the chat."""
        return False

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """The row with its title, which is the first question, left out."""
        found = super().get_object(request, object_id, from_field)
        if found is not None:
            found.title = f"Conversation {found.pk}"
        return found


@admin.register(ChatMessage)
class ChatMessageAdmin(ModelAdmin):
    list_display = (
        "id",
        "session_id",
        "role",
        "mode",
        "grounded",
        "llm",
        "duration_ms",
        "created_at",
    )
    list_filter = ("role", "mode", "grounded")
    fields = (
        "session_id",
        "role",
        "mode",
        "grounded",
        "dropped",
        "llm",
        "duration_ms",
        "created_at",
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChatMessage]:
        """Leave the words in the database."""
        return super().get_queryset(request).defer("text", "citations", "tools", "tsv")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Messages are written in the chat."""
        return False

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """The row with its words left out."""
        found = super().get_object(request, object_id, from_field)
        if found is not None:
            found.text = f"message {found.pk}"
        return found


@admin.register(Feedback)
class FeedbackAdmin(ModelAdmin):
    list_display = ("message", "user", "is_good", "reason", "updated_at")
    list_filter = ("is_good", "reason")
    search_fields = ("comment", "correction", "user__username")
    readonly_fields = (
        "message",
        "user",
        "is_good",
        "reason",
        "comment",
        "correction",
        "updated_at",
    )
    list_select_related = ("message", "user")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Feedback is given in the chat."""
        return False
