"""Admin console of gaps and outcome reports. Decisions are made on their pages, not here."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from rag.models import Gap, OutcomeReport


class LookOnlyAdmin(ModelAdmin):
    """Rows that the system writes; superusers may delete what should never have been there."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(OutcomeReport)
class OutcomeReportAdmin(LookOnlyAdmin):
    list_display = ("reference", "title", "state", "decided_by", "created_at")
    list_filter = ("state",)
    search_fields = ("reference", "title")
    list_select_related = ("decided_by",)


@admin.register(Gap)
class GapAdmin(LookOnlyAdmin):
    list_display = ("title", "kind", "state", "owner", "count", "seen_at")
    list_filter = ("kind", "state")
    search_fields = ("title", "owner")
