"""Readings summed up by minute and by hour, and what is still to be summed up."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from .point import Point
from .reading import Quality


class Level(models.IntegerChoices):
    """How fine a series is stored."""

    RAW = 0, "raw"
    MINUTE = 1, "1m"
    HOUR = 2, "1h"


class Rollup(models.Model):
    """One point over one minute or hour from ``ts``.

    ``low``, ``high``, ``mean`` and ``last`` are of the usable readings (flags good, unknown and
    suspect) and None when there is none; ``count`` counts every reading, ``bad`` those flagged
    fail or missing; ``flag`` is the worst of all (QARTOD's order).
    """

    pk = models.CompositePrimaryKey("point_id", "ts")
    point = models.ForeignKey(Point, models.DO_NOTHING, db_constraint=False, related_name="+")
    ts = models.DateTimeField()
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)
    mean = models.FloatField(null=True)
    last = models.FloatField(null=True)
    count = models.IntegerField()
    bad = models.IntegerField()
    flag = models.SmallIntegerField(choices=Quality.choices)

    class Meta:
        abstract = True
        managed = False

    def __str__(self) -> str:
        return f"{self.point_id} {self.ts.isoformat()} {self.low}…{self.high} ({self.count})"


class Rollup1m(Rollup):
    """A minute of a point. Partitioned by UTC day of ``ts``, made in migration 0004."""

    class Meta(Rollup.Meta):
        managed = False
        db_table = "facilities_rollup_1m"


class Rollup1h(Rollup):
    """An hour of a point. Partitioned by month of ``ts``, made in migration 0004."""

    class Meta(Rollup.Meta):
        managed = False
        db_table = "facilities_rollup_1h"


class RollupMark(models.Model):
    """A minute or hour whose rollup is out of date. Only ever appended and deleted.

    A commit of readings appends marks in its own transaction; the job deletes the marks it works
    on. Whoever sees a mark therefore sees the readings behind it. ``point_ids`` None means every
    point.
    """

    level = models.SmallIntegerField(choices=Level.choices)
    start = models.DateTimeField()
    point_ids = ArrayField(models.BigIntegerField(), null=True)
    marked_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "facilities_rollupmark"

    def __str__(self) -> str:
        return f"{Level(self.level).label} {self.start.isoformat()}"
