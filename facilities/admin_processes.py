"""Admin console of the product's own processes. Nothing is typed in."""

from __future__ import annotations

from django.contrib import admin

from facilities.admin import ReadOnly
from facilities.models import ProcessRun


@admin.register(ProcessRun)
class ProcessRunAdmin(ReadOnly):
    """Lives of web and worker processes."""

    list_display = ("kind", "host", "pid", "started_at", "seen_at")
    list_filter = ("kind", "host")
