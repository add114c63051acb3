"""The console shows who is told of what; rules are changed on their page, where it is audited."""

from __future__ import annotations

from django.contrib import admin

from approvals.admin import EvidenceAdmin
from approvals.models import Delivery, NotificationRule


@admin.register(NotificationRule)
class NotificationRuleAdmin(EvidenceAdmin):
    list_display = ("id", "user", "channel", "address", "least_risk", "is_active", "made_at")
    list_filter = ("channel", "is_active")
    list_select_related = ("user",)


@admin.register(Delivery)
class DeliveryAdmin(EvidenceAdmin):
    list_display = ("id", "rule", "event", "proposal", "state", "attempts", "sent_at", "error")
    list_filter = ("state", "event")
    list_select_related = ("rule", "proposal")
