"""Admin console of rows that the system computes: scores, flows, trends, barriers, marks."""

from __future__ import annotations

from django.contrib import admin

from facilities.admin import ReadOnly
from facilities.models import AnomalyScore, Barrier, PointQuality, QualityTrend, SourceFlow
from facilities.models.notify import EscalationStep
from facilities.models.quality import CapacityMeasure
from facilities.models.rollup import RollupMark


@admin.register(AnomalyScore)
class AnomalyScoreAdmin(ReadOnly):
    """Newest score of each point."""

    list_display = ("point", "ts", "score", "expert")
    list_filter = ("expert",)
    list_select_related = ("point",)
    search_fields = ("point__tag",)


@admin.register(PointQuality)
class PointQualityAdmin(ReadOnly):
    """Newest quality of each point."""

    list_display = ("point", "computed_at", "flag", "score", "completeness", "validity")
    list_filter = ("flag",)
    list_select_related = ("point",)
    search_fields = ("point__tag",)


@admin.register(QualityTrend)
class QualityTrendAdmin(ReadOnly):
    """Scores by hour."""

    list_display = ("hour", "scope", "key", "score", "completeness", "timeliness", "validity")
    list_filter = ("scope",)
    search_fields = ("key",)


@admin.register(SourceFlow)
class SourceFlowAdmin(ReadOnly):
    """What a source sent and what became of it, by minute."""

    list_display = ("minute", "source", "requests", "received", "stored", "rejected", "late")
    list_filter = ("source",)
    list_select_related = ("source",)


@admin.register(CapacityMeasure)
class CapacityMeasureAdmin(ReadOnly):
    """Rates that the capacity planner measured here."""

    list_display = ("name", "value", "unit", "measured_at", "how")


@admin.register(Barrier)
class BarrierAdmin(ReadOnly):
    """Snapshots that were waited for."""

    list_display = ("at", "reader", "complete", "waited_s", "slowest")
    list_filter = ("complete", "reader")


@admin.register(RollupMark)
class RollupMarkAdmin(ReadOnly):
    """Minutes and hours that wait to be summed again."""

    list_display = ("start", "level", "marked_at")
    list_filter = ("level",)


@admin.register(EscalationStep)
class EscalationStepAdmin(ReadOnly):
    """Steps of all chains; edited on the page of notifications."""

    list_display = ("chain", "order", "wait_s", "channel", "user", "role")
    list_select_related = ("chain", "channel", "user")
