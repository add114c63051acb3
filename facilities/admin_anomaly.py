"""Admin console of the anomaly detector: what it found, and who runs it. Nothing is typed in."""

from __future__ import annotations

from django.contrib import admin

from facilities.admin import ReadOnly
from facilities.models import AnomalyEvent, AnomalyWorker


@admin.register(AnomalyEvent)
class AnomalyEventAdmin(ReadOnly):
    """Stretches above the threshold."""

    list_display = ("started_at", "point", "expert", "peak_score", "value", "expected", "last_at")
    list_filter = ("expert",)
    list_select_related = ("point",)
    search_fields = ("point__tag",)


@admin.register(AnomalyWorker)
class AnomalyWorkerAdmin(ReadOnly):
    """The lease, and how the detector keeps up."""

    list_display = (
        "owner",
        "lease_until",
        "points",
        "warm_points",
        "scored",
        "lag_s",
        "busy_fraction",
    )
