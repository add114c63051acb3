"""Admin console of what if: the runs of workers. Nothing is typed in."""

from __future__ import annotations

from django.contrib import admin

from facilities.admin import ReadOnly
from facilities.models import WhatIfRun


@admin.register(WhatIfRun)
class WhatIfRunAdmin(ReadOnly):
    """Questions with many draws, and how far they are."""

    list_display = ("id", "title", "state", "progress", "requested_by", "created_at", "finished_at")
    list_filter = ("state",)
    list_select_related = ("requested_by",)
    search_fields = ("title",)
