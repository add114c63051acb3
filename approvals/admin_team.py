"""The admin console of looks, drills and hand-overs: it looks, it does not touch."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from approvals.admin import EvidenceAdmin
from approvals.models import Drill, HandoverNote, ProposalLook


@admin.register(ProposalLook)
class ProposalLookAdmin(EvidenceAdmin):
    list_display = ("proposal", "user", "seen_at", "opened_at")
    list_select_related = ("proposal", "user")


@admin.register(Drill)
class DrillAdmin(EvidenceAdmin):
    """Revealed drills only: whoever may look in here signs proposals, too."""

    list_display = ("proposal", "flaw", "planted_at", "revealed_at", "was_caught")
    list_filter = ("was_caught",)
    list_select_related = ("proposal",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(revealed_at__isnull=False)


@admin.register(HandoverNote)
class HandoverNoteAdmin(EvidenceAdmin):
    list_display = ("written_at", "written_by", "taken_by", "taken_at")
    list_select_related = ("written_by", "taken_by")
