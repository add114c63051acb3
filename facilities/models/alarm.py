"""Alarm rules, alarms and their history."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.urls import reverse

from .asset import AssetKind
from .point import Point


class Severity(models.TextChoices):
    """Priority of an alarm, worst first."""

    CRITICAL = "critical", "Critical"
    HIGH = "high", "High"
    MEDIUM = "medium", "Medium"
    LOW = "low", "Low"


SEVERITY_ORDER = {name: rank for rank, name in enumerate(Severity.values)}


class Comparator(models.TextChoices):
    """Side of the level on which a value is abnormal."""

    ABOVE = "above", "Above"
    BELOW = "below", "Below"


class AlarmRule(models.Model):
    """A threshold on one point, or on one quantity of every asset of a kind.

    ``above``: abnormal when value > raise_level, normal again when value <= clear_level.
    ``below``: abnormal when value < raise_level, normal again when value >= clear_level.
    The condition must last ``delay_s`` seconds of reading time before an alarm is raised.
    """

    name = models.CharField(max_length=120, unique=True)
    point = models.ForeignKey(
        Point, models.CASCADE, null=True, blank=True, related_name="alarm_rules"
    )
    asset_kind = models.CharField(max_length=20, choices=AssetKind.choices, blank=True)
    quantity = models.CharField(max_length=60, blank=True)
    comparator = models.CharField(max_length=5, choices=Comparator.choices)
    raise_level = models.FloatField()
    clear_level = models.FloatField()
    delay_s = models.FloatField(default=0)
    severity = models.CharField(max_length=8, choices=Severity.choices)
    message = models.CharField(max_length=300, blank=True)
    basis = models.CharField(max_length=300, blank=True, help_text="Where the level comes from")
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ("name",)
        constraints = [
            models.CheckConstraint(
                condition=models.Q(point__isnull=False, asset_kind="", quantity="")
                | (
                    models.Q(point__isnull=True) & ~models.Q(asset_kind="") & ~models.Q(quantity="")
                ),
                name="facilities_alarmrule_one_scope",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse a rule without one scope, and a clear level on the wrong side."""
        scoped = bool(self.asset_kind and self.quantity)
        if bool(self.point_id) == scoped or (self.point_id and (self.asset_kind or self.quantity)):
            raise ValidationError(
                f"Rule {self.name}: name either one point, or an asset kind and a quantity."
            )
        wrong = (
            self.clear_level > self.raise_level
            if self.comparator == Comparator.ABOVE
            else self.clear_level < self.raise_level
        )
        if wrong:
            side = "above" if self.comparator == Comparator.ABOVE else "below"
            raise ValidationError(
                {
                    "clear_level": f"Rule {self.name}: clear level {self.clear_level:g} is {side} "
                    f"the raise level {self.raise_level:g}; the alarm would clear at once."
                }
            )
        if self.delay_s < 0:
            raise ValidationError({"delay_s": f"Rule {self.name}: delay {self.delay_s:g} s < 0."})


class RuleState(models.Model):
    """A condition that holds but has not lasted the rule's delay yet."""

    point = models.ForeignKey(Point, models.CASCADE, related_name="+")
    rule = models.ForeignKey(AlarmRule, models.CASCADE, related_name="+")
    condition_since = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("point", "rule"), name="facilities_rulestate_unique")
        ]

    def __str__(self) -> str:
        return f"{self.rule} on {self.point} since {self.condition_since.isoformat()}"


class Alarm(models.Model):
    """One excursion of one point under one rule: active or cleared, acknowledged or not."""

    point = models.ForeignKey(Point, models.CASCADE, related_name="alarms")
    rule = models.ForeignKey(AlarmRule, models.PROTECT, related_name="alarms")
    severity = models.CharField(max_length=8, choices=Severity.choices)
    message = models.CharField(max_length=300)
    value = models.FloatField(help_text="Value that raised the alarm")
    peak_value = models.FloatField(help_text="Worst value while the alarm was active")
    raised_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        ordering = ("-raised_at", "-id")
        permissions = [("acknowledge_alarm", "Can acknowledge alarms")]
        indexes = [models.Index(fields=("-raised_at", "-id"), name="facilities_alarm_raised")]
        constraints = [
            models.UniqueConstraint(
                fields=("point", "rule"),
                condition=models.Q(cleared_at__isnull=True),
                name="facilities_alarm_one_open",
            )
        ]

    def __str__(self) -> str:
        return f"{self.rule} on {self.point}"

    def get_absolute_url(self) -> str:
        """Alarm console, with this alarm selected."""
        return f"{reverse('facilities:alarms')}#alarm-{self.pk}"

    @property
    def state(self) -> str:
        """``active`` or ``cleared``, then ``_unacknowledged`` or ``_acknowledged``."""
        active = "active" if self.cleared_at is None else "cleared"
        return f"{active}_{'un' if self.acknowledged_at is None else ''}acknowledged"


class AlarmEventKind(models.TextChoices):
    """What happened to an alarm."""

    RAISED = "raised", "Raised"
    CLEARED = "cleared", "Cleared"
    ACKNOWLEDGED = "acknowledged", "Acknowledged"


class AlarmEvent(models.Model):
    """One line of an alarm's history."""

    alarm = models.ForeignKey(Alarm, models.CASCADE, related_name="events")
    at = models.DateTimeField()
    event = models.CharField(max_length=12, choices=AlarmEventKind.choices)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    note = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ("at", "id")

    def __str__(self) -> str:
        return f"{self.alarm} {self.event}"
