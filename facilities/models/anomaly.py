"""What the anomaly detector says: the newest score of each point, events above the threshold."""

from __future__ import annotations

from django.db import models
from django.urls import reverse

from .point import Point


class AnomalyScore(models.Model):
    """The newest anomaly score of a point. A point that is warming up has none.

    ``score`` runs from 0 (as ever) to 1 (never seen anything like it); at or above
    ``facilities.anomaly.THRESHOLD`` it counts as an anomaly.
    """

    point = models.OneToOneField(Point, models.CASCADE, primary_key=True, related_name="anomaly")
    ts = models.DateTimeField(help_text="Time of the reading that was scored")
    score = models.FloatField()
    expert = models.CharField(max_length=20, help_text="The test that found it most unusual")

    def __str__(self) -> str:
        return f"{self.point} {self.score:.2f}"


class AnomalyEvent(models.Model):
    """One stretch of a point's readings that the detector found anomalous."""

    point = models.ForeignKey(Point, models.CASCADE, related_name="anomaly_events")
    started_at = models.DateTimeField(help_text="Time of the first reading above the threshold")
    last_at = models.DateTimeField(help_text="Time of the latest reading above the threshold")
    peak_score = models.FloatField()
    value = models.FloatField(help_text="Value at the first reading above the threshold")
    expected = models.FloatField(help_text="What the winning test expected then")
    expert = models.CharField(max_length=20)

    class Meta:
        ordering = ("-started_at", "-id")
        indexes = [
            models.Index(fields=("-started_at", "-id"), name="facilities_anomaly_started"),
            models.Index(fields=("point", "-started_at"), name="facilities_anomaly_point"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=("point", "started_at"), name="facilities_anomaly_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.point} {self.expert} at {self.started_at.isoformat()}"

    def get_absolute_url(self) -> str:
        """Page of the point."""
        return reverse("facilities:point", args=[self.point.tag])


class AnomalyWorker(models.Model):
    """One row: which process runs the detector, until when, and how it keeps up.

    A process claims the row by a conditional update and renews its lease while it works; another
    may claim it once the lease has run out.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    owner = models.CharField(max_length=100, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    scored_until = models.DateTimeField(
        null=True, blank=True, help_text="Readings received up to then have been scored"
    )
    points = models.IntegerField(default=0, help_text="Points with a state")
    warm_points = models.IntegerField(default=0, help_text="Points past their warm-up")
    scored = models.BigIntegerField(default=0, help_text="Readings scored since the first start")
    lag_s = models.FloatField(default=0, help_text="Age of the newest scored reading's commit, s")
    busy_fraction = models.FloatField(default=0, help_text="Share of one core, last minute")
    snapshot_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.owner or "nobody"
