"""Alarm rules, alarms and their history."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.urls import reverse
from django.utils import timezone

from .asset import AssetKind
from .point import Point


class Severity(models.TextChoices):
    """Priority of an alarm, worst first."""

    CRITICAL = "critical", "Critical"
    HIGH = "high", "High"
    MEDIUM = "medium", "Medium"
    LOW = "low", "Low"


SAFETY_KINDS = frozenset({AssetKind.LEAK_DETECTOR.value, AssetKind.FIRE_PANEL.value})
"""Every alarm of these protects people, whatever its rule says."""

SEVERITY_ORDER = {name: rank for rank, name in enumerate(Severity.values)}


class Comparator(models.TextChoices):
    """Side of the level on which a value is abnormal."""

    ABOVE = "above", "Above"
    BELOW = "below", "Below"


class RuleKind(models.TextChoices):
    """What a rule looks at; each is one file in ``facilities/alarms/kinds``."""

    THRESHOLD = "threshold", "Threshold"
    RATE = "rate", "Rate of change"
    STALENESS = "staleness", "Staleness"
    QUALITY = "quality", "Data quality"
    ANOMALY = "anomaly", "Anomaly"
    EXPRESSION = "expression", "Expression"


class AlarmRule(models.Model):
    """A condition on one point, or (a template) on one quantity of every asset of a kind.

    The kind makes a signal of the point (its value, its slope, its age, …); the levels judge it.
    ``above``: abnormal when signal > raise_level, normal again when signal <= clear_level.
    ``below``: abnormal when signal < raise_level, normal again when signal >= clear_level.
    The condition must last ``delay_s`` seconds of reading time before an alarm is raised.
    """

    name = models.CharField(max_length=120, unique=True)
    kind = models.CharField(max_length=10, choices=RuleKind.choices, default=RuleKind.THRESHOLD)
    parameters = models.JSONField(
        default=dict, blank=True, help_text="What the kind needs, see docs/life-of-an-alarm.md"
    )
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
    safety = models.BooleanField(
        default=False,
        help_text="Protects people: never suppressed, never shelved for chattering",
    )

    class Meta:
        ordering = ("name",)
        permissions = [("manage_alarms", "Can manage alarm rules, windows and notifications")]
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
        from facilities.alarms.kinds import KINDS

        problems = KINDS[self.kind].problems(self.parameters) if self.kind in KINDS else []
        if problems:
            raise ValidationError(
                {"parameters": [f"Rule {self.name} ({self.kind}): {text}" for text in problems]}
            )


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
    """One excursion of one point under one rule: active or cleared, acknowledged or not.

    ``root`` is the alarm it is taken for a consequence of; root and consequences are one group.
    A suppressed alarm is shown under its root and tells nobody. A shelved alarm, and one raised in
    a maintenance window, is recorded and tells nobody either.
    """

    point = models.ForeignKey(Point, models.CASCADE, related_name="alarms")
    rule = models.ForeignKey(AlarmRule, models.PROTECT, related_name="alarms")
    severity = models.CharField(max_length=8, choices=Severity.choices)
    message = models.CharField(max_length=300)
    value = models.FloatField(help_text="Signal that raised the alarm")
    quality = models.SmallIntegerField(default=1, help_text="QARTOD flag of that reading")
    peak_value = models.FloatField(help_text="Worst signal while the alarm was active")
    raised_at = models.DateTimeField()
    recorded_at = models.DateTimeField(default=timezone.now, help_text="When the row was written")
    cleared_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    root = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="consequences"
    )
    suppressed = models.BooleanField(default=False)
    shelved_until = models.DateTimeField(null=True, blank=True)
    maintenance = models.ForeignKey(
        "facilities.MaintenanceWindow",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="alarms",
        help_text="Window in which it was raised",
    )
    occurrences = models.PositiveIntegerField(
        default=1, help_text="How often it came back while it was shelved"
    )

    class Meta:
        ordering = ("-raised_at", "-id")
        permissions = [("acknowledge_alarm", "Can acknowledge alarms")]
        indexes = [
            models.Index(fields=("-raised_at", "-id"), name="facilities_alarm_raised"),
            models.Index(
                fields=("point",),
                condition=models.Q(cleared_at__isnull=True),
                name="facilities_alarm_open",
            ),
            models.Index(fields=("point", "rule", "-raised_at"), name="facilities_alarm_pair"),
        ]
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

    @property
    def safety(self) -> bool:
        """Whether it protects people: never hidden, never shelved."""
        return self.rule.safety or self.point.asset.kind in SAFETY_KINDS

    @property
    def group(self) -> int:
        """Id of the alarm that heads the group: the root, or the alarm itself."""
        return self.root_id or self.pk


class AlarmEventKind(models.TextChoices):
    """What happened to an alarm."""

    RAISED = "raised", "Raised"
    CLEARED = "cleared", "Cleared"
    ACKNOWLEDGED = "acknowledged", "Acknowledged"
    ASSIGNED = "assigned", "Assigned"
    NOTED = "noted", "Noted"
    SUPPRESSED = "suppressed", "Suppressed"
    UNSUPPRESSED = "unsuppressed", "No longer suppressed"
    SHELVED = "shelved", "Shelved"
    UNSHELVED = "unshelved", "Taken from the shelf"
    NOTIFIED = "notified", "Notified"


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
