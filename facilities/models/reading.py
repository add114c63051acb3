"""What was measured: every reading, and the latest of each point."""

from django.db import models

from .point import Point
from .source import Source


class Quality(models.IntegerChoices):
    """QARTOD flags (ioos_qc)."""

    GOOD = 1, "good"
    UNKNOWN = 2, "unknown"
    SUSPECT = 3, "suspect"
    FAIL = 4, "fail"
    MISSING = 9, "missing"


class Reading(models.Model):
    """One value of one point at one time.

    The table is partitioned by UTC day of ``ts`` and made in migration 0002, so Django does not
    manage it. It has no foreign keys in the database: a check per row would cost more than the
    row; ``LatestReading`` protects a point that has readings from deletion.
    """

    pk = models.CompositePrimaryKey("point_id", "ts")
    point = models.ForeignKey(Point, models.DO_NOTHING, db_constraint=False, related_name="+")
    ts = models.DateTimeField()
    value = models.FloatField()
    quality = models.SmallIntegerField(choices=Quality.choices, default=Quality.GOOD)
    source = models.ForeignKey(
        Source, models.DO_NOTHING, null=True, db_constraint=False, related_name="+"
    )
    received_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "facilities_reading"

    def __str__(self) -> str:
        return f"{self.point_id} {self.ts.isoformat()} {self.value:g}"


class LatestReading(models.Model):
    """The newest reading of a point. Never replaced by an older one."""

    point = models.OneToOneField(Point, models.PROTECT, primary_key=True, related_name="latest")
    ts = models.DateTimeField()
    value = models.FloatField()
    quality = models.SmallIntegerField(choices=Quality.choices, default=Quality.GOOD)
    received_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.point} {self.value:g}"
