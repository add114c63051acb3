"""The policy's rows in the admin console: to look at, never to touch."""

from __future__ import annotations

from django.contrib import admin

from approvals.admin import EvidenceAdmin
from approvals.models import ChangeWindow, PolicyChange, PolicyVersion


@admin.register(PolicyVersion)
class PolicyVersionAdmin(EvidenceAdmin):
    list_display = ("number", "made_by", "made_at", "note", "digest")
    list_select_related = ("made_by",)


@admin.register(PolicyChange)
class PolicyChangeAdmin(EvidenceAdmin):
    list_display = ("id", "base", "made_by", "made_at", "verdict", "decided_by", "decided_at")
    list_filter = ("verdict",)
    list_select_related = ("made_by", "decided_by")


@admin.register(ChangeWindow)
class ChangeWindowAdmin(EvidenceAdmin):
    list_display = ("name", "kind", "starts_at", "ends_at", "made_by", "cancelled_at")
    list_filter = ("kind",)
    list_select_related = ("made_by",)
