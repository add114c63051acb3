"""Admin of quality: a point's own limits, redundancy groups."""

from __future__ import annotations

from django.contrib import admin
from unfold.admin import ModelAdmin

from facilities.models import QualityLimit, RedundancyGroup


@admin.register(QualityLimit)
class QualityLimitAdmin(ModelAdmin):
    """Thresholds that replace a point's defaults."""

    list_display = ("point", "rate_suspect", "spike_suspect", "flat_suspect_s", "gap_s", "note")
    search_fields = ("point__tag", "note")
    autocomplete_fields = ("point",)
    list_select_related = ("point",)


@admin.register(RedundancyGroup)
class RedundancyGroupAdmin(ModelAdmin):
    """Points that measure the same."""

    list_display = ("name", "reference", "tolerance")
    search_fields = ("name", "points__tag")
    autocomplete_fields = ("points", "reference")
    list_select_related = ("reference",)
