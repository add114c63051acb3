"""Admin console of the twin that follows the plant. Nothing is typed in."""

from __future__ import annotations

from django.contrib import admin

from facilities.admin import ReadOnly
from facilities.models import TwinAccuracy, TwinFinding, TwinTracker


@admin.register(TwinTracker)
class TwinTrackerAdmin(ReadOnly):
    """Who follows the plant, and what it costs."""

    list_display = ("owner", "at", "lease_until", "turns", "cost_ms", "busy_fraction", "problem")
    exclude = ("arrays", "memory")


@admin.register(TwinAccuracy)
class TwinAccuracyAdmin(ReadOnly):
    """Fitness by hour and quantity."""

    list_display = (
        "hour",
        "quantity",
        "horizon",
        "samples",
        "rmse",
        "cv_rmse_pct",
        "nmbe_pct",
        "passed",
    )
    list_filter = ("horizon", "passed", "quantity")


@admin.register(TwinFinding)
class TwinFindingAdmin(ReadOnly):
    """What wears out, and when it reaches its limit."""

    list_display = (
        "asset",
        "what",
        "parameter",
        "found_at",
        "expected_at",
        "confidence",
        "closed_at",
    )
    list_filter = ("what",)
