"""Leases and holds in the admin console: read-only, as all evidence."""

from __future__ import annotations

from django.contrib import admin

from approvals.admin import EvidenceAdmin
from approvals.models import AssetLease, GateHold


@admin.register(AssetLease)
class AssetLeaseAdmin(EvidenceAdmin):
    list_display = ("asset", "holder", "token", "taken_at")
    list_select_related = ("holder",)
    search_fields = ("asset",)


@admin.register(GateHold)
class GateHoldAdmin(EvidenceAdmin):
    list_display = ("id", "reason", "made_by", "made_at", "lifted_by", "lifted_at")
    list_select_related = ("made_by", "lifted_by")
