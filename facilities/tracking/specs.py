"""The data list's points and alarm levels as the tracker needs them."""

from __future__ import annotations

from facilities.models import AlarmRule, Point
from facilities.models.alarm import Comparator, RuleKind
from facilities.twin.estimate.points import Key, PointSpec

OWN_SUFFIXES = ("_residual", "_residual_sigma")


def point_specs() -> list[PointSpec]:
    """Every point of the data list but the twin's own. One query."""
    rows = Point.objects.exclude(quantity__endswith="_residual").exclude(
        quantity__endswith="_residual_sigma"
    )
    return [
        PointSpec(*row)
        for row in rows.order_by("pk").values_list(
            "tag",
            "asset__kind",
            "asset__tag",
            "quantity",
            "unit",
            "precision",
            "response_time_s",
            "sampling_interval_s",
            "min_value",
            "max_value",
        )
    ]


def alarm_levels() -> dict[Key, float]:
    """Lowest upper threshold by (kind, quantity) of the enabled rules. One query."""
    levels: dict[Key, float] = {}
    rules = AlarmRule.objects.filter(
        enabled=True, kind=RuleKind.THRESHOLD, comparator=Comparator.ABOVE, point__isnull=True
    )
    for kind, quantity, level in rules.values_list("asset_kind", "quantity", "raise_level"):
        levels[kind, quantity] = min(level, levels.get((kind, quantity), level))
    return levels
