"""Admin console of policy, envelopes, windows and notifications."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline

from facilities.models import (
    AlarmPolicy,
    Delivery,
    Envelope,
    Escalation,
    EscalationChain,
    EscalationStep,
    MaintenanceWindow,
    NotificationChannel,
    Shelf,
)


@admin.register(AlarmPolicy)
class AlarmPolicyAdmin(ModelAdmin):
    """The one row of the policy."""

    list_display = ("__str__", "suppress_window_s", "chatter_count", "chatter_shelve_s")
    exclude = ("id",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """One row is enough."""
        return not AlarmPolicy.objects.exists()


@admin.register(Envelope)
class EnvelopeAdmin(ModelAdmin):
    """Air envelopes."""

    list_display = ("name", "range", "low_c", "high_c", "rh_high_pct", "checked")
    list_filter = ("range", "checked")


@admin.register(MaintenanceWindow)
class MaintenanceWindowAdmin(ModelAdmin):
    """Maintenance windows."""

    list_display = ("scope", "reason", "starts_at", "ends_at", "created_by")
    list_select_related = ("asset", "hall", "created_by")
    autocomplete_fields = ("asset",)


@admin.register(Shelf)
class ShelfAdmin(ModelAdmin):
    """What lies on the shelf."""

    list_display = ("point", "rule", "until", "reason", "automatic", "shelved_by")
    list_filter = ("automatic",)
    list_select_related = ("point", "rule", "shelved_by")
    autocomplete_fields = ("point", "rule")


@admin.register(NotificationChannel)
class NotificationChannelAdmin(ModelAdmin):
    """Channels. A signing secret is shown by the page that makes one, never here."""

    list_display = ("name", "kind", "url", "enabled")
    list_filter = ("kind", "enabled")
    search_fields = ("name",)


class StepInline(TabularInline):
    """Steps of a chain."""

    model = EscalationStep
    extra = 0


@admin.register(EscalationChain)
class EscalationChainAdmin(ModelAdmin):
    """Chains."""

    list_display = ("name", "position", "min_severity", "hall", "asset_kind", "repeats", "enabled")
    list_select_related = ("hall",)
    inlines = (StepInline,)


class _Written(ModelAdmin):
    """Rows that the system writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes."""
        return False


@admin.register(Escalation)
class EscalationAdmin(_Written):
    """Where alarms stand on their chains."""

    list_display = ("alarm", "chain", "steps_done", "due_at", "ended")
    list_select_related = ("alarm__point", "alarm__rule", "chain")


@admin.register(Delivery)
class DeliveryAdmin(_Written):
    """Messages."""

    list_display = ("created_at", "event", "target", "state", "attempts", "outcome")
    list_filter = ("state", "kind")
    search_fields = ("target", "outcome")
