"""Admin console of imports, document history and embedding models."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from rag.models import DocumentEvent, EmbeddingModel, ImportJob, WatchedFile


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
