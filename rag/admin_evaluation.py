"""Admin console of golden questions and measured runs."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from rag.models import EvaluationRun, GoldenQuestion


@admin.register(GoldenQuestion)
class GoldenQuestionAdmin(ModelAdmin):
    list_display = ("query", "is_answerable", "is_active", "created_by", "created_at")
    list_filter = ("is_active", "is_answerable")
    search_fields = ("query",)
    readonly_fields = ("message", "created_by", "created_at")
    list_select_related = ("created_by",)


@admin.register(EvaluationRun)
class EvaluationRunAdmin(ModelAdmin):
    list_display = ("name", "kind", "state", "done", "total", "finished_at")
    list_filter = ("kind", "state")
    search_fields = ("name",)
    fields = (
        "kind", "name", "state", "error", "done", "total", "setup", "figures",
        "created_by", "started_at", "finished_at",
    )  # fmt: skip
    readonly_fields = fields

    def has_add_permission(self, request) -> bool:  # type: ignore[no-untyped-def]
        """Runs are measured, never typed."""
        return False
