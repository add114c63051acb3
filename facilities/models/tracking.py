"""What the twin knows of the plant: its state, how well it fits, and what it finds is wearing out."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.urls import reverse

from .asset import Asset
from .point import Point


class TwinTracker(models.Model):
    """One row: the state that follows the plant, and which process follows it, until when.

    A process claims the row by a conditional update and renews its lease while it works.
    ``arrays`` is a NumPy archive (no pickles) of state, parameters and filters.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    owner = models.CharField(max_length=100, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    at = models.DateTimeField(null=True, blank=True, help_text="Time of the state")
    started_at = models.DateTimeField(
        null=True, blank=True, help_text="When it last began anew from a snapshot"
    )
    arrays = models.BinaryField(null=True, blank=True)
    memory = models.BinaryField(
        null=True, blank=True, help_text="Filters and trends, for a restart; saved each minute"
    )
    memory_at = models.DateTimeField(null=True, blank=True)
    model_version = models.CharField(max_length=40, blank=True)
    turns = models.BigIntegerField(default=0)
    cost_ms = models.FloatField(default=0, help_text="Processor time of a turn, mean")
    busy_fraction = models.FloatField(default=0, help_text="Share of one core")
    waited_s = models.FloatField(default=0, help_text="Waited for the last snapshot")
    complete = models.BooleanField(default=False, help_text="The last snapshot was complete")
    problem = models.CharField(max_length=300, blank=True, help_text="Why it stands still")
    points: models.JSONField[Any, Any] = models.JSONField(
        default=dict, help_text="Followed points, and the gaps of slow sensors, as columns"
    )
    estimates: models.JSONField[Any, Any] = models.JSONField(
        default=list, help_text="Estimated parameters with their uncertainty"
    )
    fitness: models.JSONField[Any, Any] = models.JSONField(
        default=dict, help_text="By quantity: CV(RMSE), NMBE, RMSE of this hour and the last"
    )
    sums: models.JSONField[Any, Any] = models.JSONField(
        default=dict, help_text="Sums behind the fitness, by hour and horizon"
    )
    costs: models.JSONField[Any, Any] = models.JSONField(
        default=dict, help_text="What slow sensors cost, by simulation"
    )
    costs_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.owner or 'nobody'} at {self.at.isoformat() if self.at else 'no time'}"


class TwinAccuracy(models.Model):
    """How well one quantity was predicted during one hour. Judged by ASHRAE Guideline 14."""

    class Horizon(models.TextChoices):
        STEP = "step", "One step ahead"
        FREE = "free", "30 minutes, uncorrected"

    hour = models.DateTimeField(db_index=True)
    quantity = models.CharField(max_length=80, help_text="Kind and quantity: rack.inlet_c")
    horizon = models.CharField(max_length=4, choices=Horizon.choices)
    unit = models.CharField(max_length=20, blank=True)
    samples = models.PositiveIntegerField()
    mean = models.FloatField(help_text="Mean of the measured values, in the unit")
    rmse = models.FloatField(help_text="In the unit")
    cv_rmse_pct = models.FloatField(null=True, help_text="RMSE by the mean; null at mean 0")
    nmbe_pct = models.FloatField(null=True, help_text="Mean of predicted - measured by the mean")
    passed = models.BooleanField(help_text="Within the hourly limits of ASHRAE Guideline 14")

    class Meta:
        ordering = ("-hour", "quantity", "horizon")
        constraints = [
            models.UniqueConstraint(
                fields=("hour", "quantity", "horizon"), name="facilities_twinaccuracy_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.quantity} {self.horizon} {self.hour.isoformat()}"


class TwinFinding(models.Model):
    """Something that wears out, found before its alarm threshold. One open per asset and cause."""

    class What(models.TextChoices):
        FILTER = "filter", "Filter fouls"
        FAN = "fan", "Fan fails"
        COIL = "coil", "Coil fouls"
        SENSOR = "sensor", "Sensor drifts"
        BATTERY = "battery", "Battery weakens"
        PASTE = "paste", "Thermal paste decays"

    asset = models.ForeignKey(Asset, models.CASCADE, related_name="twin_findings")
    point = models.ForeignKey(
        Point, models.CASCADE, null=True, blank=True, related_name="twin_findings"
    )
    what = models.CharField(max_length=8, choices=What.choices)
    parameter = models.CharField(max_length=80, help_text="What is trending")
    unit = models.CharField(max_length=20, blank=True)
    value = models.FloatField(help_text="Estimate when last seen")
    sigma = models.FloatField(help_text="Its standard deviation")
    slope_per_h = models.FloatField()
    slope_sigma_per_h = models.FloatField()
    level = models.FloatField(help_text="Where the alarm, or the limit, stands")
    found_at = models.DateTimeField()
    last_at = models.DateTimeField()
    expected_at = models.DateTimeField(
        null=True, blank=True, help_text="When the level is expected to be reached"
    )
    earliest_at = models.DateTimeField(null=True, blank=True, help_text="5 % of the forecasts")
    latest_at = models.DateTimeField(null=True, blank=True, help_text="95 % of the forecasts")
    confidence = models.FloatField(help_text="That the trend is real, 0..1")
    closed_at = models.DateTimeField(null=True, blank=True)
    text = models.CharField(max_length=400)

    class Meta:
        ordering = ("closed_at", "expected_at", "-id")
        constraints = [
            models.UniqueConstraint(
                fields=("asset", "what", "parameter"),
                condition=models.Q(closed_at__isnull=True),
                name="facilities_twinfinding_one_open",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_what_display()}: {self.asset}"

    def get_absolute_url(self) -> str:
        """Twin accuracy page, at this finding."""
        return f"{reverse('facilities:twin')}#finding-{self.pk}"
