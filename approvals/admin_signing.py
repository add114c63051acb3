"""Authenticators and emergencies in the console: to be looked at, without keys.

A superuser may take a lost authenticator away, never add one or read its key.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from approvals.admin import EvidenceAdmin
from approvals.audit import audit_append
from approvals.models import Authenticator, BreakGlass, BreakGlassReview

for model in (TOTPDevice, StaticDevice):
    if admin.site.is_registered(model):
        admin.site.unregister(model)


@admin.register(Authenticator)
class AuthenticatorAdmin(EvidenceAdmin):
    """Who has an authenticator, and when it was last used."""

    list_display = ("user", "name", "confirmed", "created_at", "last_used_at")
    list_select_related = ("user",)
    search_fields = ("user__username",)
    fields = ("user", "name", "confirmed", "created_at", "last_used_at")
    actions = ("take_away",)

    @admin.action(description="Take away (lost or broken)")
    def take_away(self, request: HttpRequest, queryset: Any) -> None:
        """Remove the chosen authenticators with their owners' recovery codes."""
        if not request.user.is_superuser:
            return
        for device in queryset.select_related("user"):
            owner = device.user.get_username()
            audit_append(
                event="totp.taken_away",
                actor=request.user.get_username(),
                obj=f"user:{owner}",
                payload={"device": device.pk, "name": device.name},
            )
            StaticDevice.objects.filter(user_id=device.user_id).delete()
            device.delete()


@admin.register(BreakGlass)
class BreakGlassAdmin(EvidenceAdmin):
    list_display = ("id", "decision", "reviews_needed", "due_at", "closed_at")
    list_select_related = ("decision__proposal",)


@admin.register(BreakGlassReview)
class BreakGlassReviewAdmin(EvidenceAdmin):
    list_display = ("id", "break_glass", "reviewer", "verdict", "at")
    list_filter = ("verdict",)
    list_select_related = ("break_glass__decision", "reviewer")
