"""Admin console of the facility.

``Reading`` has a composite primary key, which Django's admin does not take; readings are seen on
the point page and in the API.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline

from facilities.models import (
    Alarm,
    AlarmEvent,
    AlarmRule,
    Asset,
    AssetLink,
    DataListVersion,
    Hall,
    LatestReading,
    Rack,
    RuleState,
    Site,
    Source,
)


class ReadOnly(ModelAdmin):
    """Rows that the system writes: shown, never edited by hand."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes."""
        return False


@admin.register(Site)
class SiteAdmin(ModelAdmin):
    """Sites."""

    list_display = ("slug", "name", "timezone")


@admin.register(Hall)
class HallAdmin(ModelAdmin):
    """Halls."""

    list_display = ("slug", "name", "site", "width_m", "depth_m")
    list_select_related = ("site",)


@admin.register(Rack)
class RackAdmin(ModelAdmin):
    """Racks."""

    list_display = ("tag", "hall", "row", "position", "rated_w")
    list_filter = ("hall", "row")
    list_select_related = ("hall",)
    search_fields = ("tag",)


class LinkInline(TabularInline):
    """Links that leave an asset."""

    model = AssetLink
    fk_name = "source"
    autocomplete_fields = ("target",)
    extra = 0


@admin.register(Asset)
class AssetAdmin(ModelAdmin):
    """Assets."""

    list_display = ("tag", "name", "kind", "hall", "rack", "parent")
    list_filter = ("kind", "hall")
    list_select_related = ("hall", "rack", "parent")
    search_fields = ("tag", "name")
    autocomplete_fields = ("rack", "parent")
    inlines = (LinkInline,)


@admin.register(AssetLink)
class AssetLinkAdmin(ModelAdmin):
    """Links."""

    list_display = ("source", "target", "kind")
    list_filter = ("kind",)
    list_select_related = ("source", "target")
    autocomplete_fields = ("source", "target")
    search_fields = ("source__tag", "target__tag")


@admin.register(DataListVersion)
class DataListVersionAdmin(ReadOnly):
    """Version of the data list."""

    list_display = ("id", "version")


@admin.register(Source)
class SourceAdmin(ModelAdmin):
    """Sources. They are created by ``create_source``, which shows the token once."""

    list_display = ("name", "owner", "active", "token_prefix", "expires_at", "last_seen_at")
    list_filter = ("active",)
    search_fields = ("name",)
    readonly_fields = ("token_prefix", "asset", "last_seen_at", "created_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A source without a token would be of no use."""
        return False


@admin.register(LatestReading)
class LatestReadingAdmin(ReadOnly):
    """Latest values."""

    list_display = ("point", "value", "ts", "quality", "received_at")
    list_filter = ("quality", "point__asset__kind")
    list_select_related = ("point",)
    search_fields = ("point__tag",)


@admin.register(AlarmRule)
class AlarmRuleAdmin(ModelAdmin):
    """Alarm rules."""

    list_display = (
        "name",
        "kind",
        "severity",
        "asset_kind",
        "quantity",
        "point",
        "comparator",
        "raise_level",
        "clear_level",
        "delay_s",
        "enabled",
    )
    list_filter = ("severity", "kind", "enabled", "safety", "asset_kind")
    list_select_related = ("point",)
    search_fields = ("name", "message")
    autocomplete_fields = ("point",)


@admin.register(RuleState)
class RuleStateAdmin(ReadOnly):
    """Conditions waiting for their delay."""

    list_display = ("rule", "point", "condition_since")
    list_select_related = ("rule", "point")


class EventInline(TabularInline):
    """History of an alarm."""

    model = AlarmEvent
    extra = 0
    readonly_fields = ("at", "event", "actor", "note")
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody adds."""
        return False


@admin.register(Alarm)
class AlarmAdmin(ReadOnly):
    """Alarms."""

    list_display = ("point", "rule", "severity", "raised_at", "cleared_at", "acknowledged_at")
    list_filter = ("severity", "rule")
    list_select_related = ("point", "rule")
    search_fields = ("point__tag", "rule__name", "message")
    date_hierarchy = "raised_at"
    inlines = (EventInline,)


@admin.register(AlarmEvent)
class AlarmEventAdmin(ReadOnly):
    """History of all alarms."""

    list_display = ("at", "event", "alarm", "actor", "note")
    list_filter = ("event",)
    list_select_related = ("alarm__point", "alarm__rule", "actor")
    search_fields = ("alarm__point__tag", "note")


# The other rooms' classes register themselves; they need ReadOnly from above.
import facilities.admin_alarms  # noqa: E402
import facilities.admin_anomaly  # noqa: E402
import facilities.admin_datalist  # noqa: E402
import facilities.admin_processes  # noqa: E402
import facilities.admin_quality  # noqa: E402
import facilities.admin_store  # noqa: E402
import facilities.admin_tracking  # noqa: E402
import facilities.admin_whatif  # noqa: E402, F401
