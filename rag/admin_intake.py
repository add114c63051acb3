"""Admin console of imports, document history and embedding models."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from rag.models import (
    DocumentEvent,
    EmbeddingModel,
    ImportJob,
    PassageVector,
    StoredFile,
    WatchedFile,
)


class _ReadOnly(ModelAdmin):
    """Rows that services write; looked at here, never edited."""

    def has_add_permission(self, request):  # type: ignore[no-untyped-def]
        """Nobody adds them by hand."""
        return False

    def has_change_permission(self, request, obj=None):  # type: ignore[no-untyped-def]
        """Nobody changes them by hand."""
        return False

    def has_delete_permission(self, request, obj=None):  # type: ignore[no-untyped-def]
        """Nobody removes them by hand."""
        return False


@admin.register(ImportJob)
class ImportJobAdmin(_ReadOnly):
    list_display = ("source_path", "state", "collection", "origin", "created_by", "created_at")
    list_filter = ("state", "origin", "collection")
    search_fields = ("source_path", "note")
    list_select_related = ("collection", "created_by")


@admin.register(DocumentEvent)
class DocumentEventAdmin(_ReadOnly):
    list_display = ("document", "action", "revision", "user", "reason", "at")
    list_filter = ("action",)
    search_fields = ("document__title", "reason")
    list_select_related = ("document", "user")


@admin.register(EmbeddingModel)
class EmbeddingModelAdmin(_ReadOnly):
    list_display = ("name", "dimensions", "state", "path", "url", "serving_since", "error")
    list_filter = ("state",)


@admin.register(WatchedFile)
class WatchedFileAdmin(_ReadOnly):
    list_display = ("path", "size", "is_taken", "missing_since", "problem", "seen_at")
    search_fields = ("path",)


@admin.register(StoredFile)
class StoredFileAdmin(_ReadOnly):
    list_display = ("sha256", "media_type", "size", "created_at")
    search_fields = ("sha256",)
    fields = ("sha256", "media_type", "size", "created_at")
    readonly_fields = fields

    def get_queryset(self, request):  # type: ignore[no-untyped-def]
        """Leave the bytes in the database."""
        return super().get_queryset(request).defer("data")


@admin.register(PassageVector)
class PassageVectorAdmin(_ReadOnly):
    list_display = ("passage", "model")
    list_filter = ("model",)
    list_select_related = ("passage__revision__document", "model")
    fields = ("passage", "model")
    readonly_fields = fields
    show_full_result_count = False

    def get_queryset(self, request):  # type: ignore[no-untyped-def]
        """Leave the vectors in the database."""
        return super().get_queryset(request).defer("embedding")
