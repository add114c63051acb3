"""What is known about the trust that values deserve: limits, verdicts, scores, flow by source."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models

from .point import Point
from .reading import Quality
from .source import Source


class SourceFlow(models.Model):
    """What one source sent in one minute, step by step. Rows add up over processes.

    *Performance* is the sensor's side: what arrived, and how long after it was measured.
    *Transform* is decoding, conversion and validation. *Transfer* is the way into the database,
    up to the commit. Delays are sums over ``stored`` readings (performance) or ``requests``
    (transform, transfer), so that means of any span can be had; maxima beside them.
    """

    source = models.ForeignKey(Source, models.CASCADE, related_name="flow")
    minute = models.DateTimeField()
    requests = models.PositiveBigIntegerField(default=0)
    refused = models.PositiveBigIntegerField(default=0, help_text="Requests answered 4xx or 5xx")
    bytes = models.PositiveBigIntegerField(default=0, help_text="Bodies as they arrived")
    received = models.PositiveBigIntegerField(default=0, help_text="Items in those bodies")
    decoded = models.PositiveBigIntegerField(default=0)
    converted = models.PositiveBigIntegerField(default=0, help_text="Readings of known points")
    rejected = models.PositiveBigIntegerField(default=0, help_text="Items sent to quarantine")
    flagged = models.PositiveBigIntegerField(default=0, help_text="Stored as suspect or fail")
    late = models.PositiveBigIntegerField(default=0, help_text="Older than the newest of the point")
    duplicates = models.PositiveBigIntegerField(default=0)
    stored = models.PositiveBigIntegerField(default=0)
    performance_s = models.FloatField(default=0, help_text="Sum of received − measured, seconds")
    performance_max_s = models.FloatField(default=0)
    transform_s = models.FloatField(default=0, help_text="Sum of decode, convert and check")
    transform_max_s = models.FloatField(default=0)
    transfer_s = models.FloatField(default=0, help_text="Sum of queue, COPY and commit")
    transfer_max_s = models.FloatField(default=0)

    class Meta:
        ordering = ("-minute", "source")
        constraints = [
            models.UniqueConstraint(
                fields=("source", "minute"), name="facilities_sourceflow_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.source_id} {self.minute.isoformat()}"


class QualityLimit(models.Model):
    """A point's own thresholds; an empty field means the default of ``quality/limits.py``."""

    point = models.OneToOneField(
        Point, models.CASCADE, primary_key=True, related_name="quality_limit"
    )
    suspect_low = models.FloatField(null=True, blank=True, help_text="Suspect below, in the unit")
    suspect_high = models.FloatField(null=True, blank=True, help_text="Suspect above, in the unit")
    rate_suspect = models.FloatField(null=True, blank=True, help_text="Suspect above, unit per s")
    rate_fail = models.FloatField(null=True, blank=True, help_text="Fail above, unit per s")
    spike_suspect = models.FloatField(null=True, blank=True, help_text="Suspect above, in the unit")
    spike_fail = models.FloatField(null=True, blank=True, help_text="Fail above, in the unit")
    flat_suspect_s = models.FloatField(null=True, blank=True)
    flat_fail_s = models.FloatField(null=True, blank=True)
    gap_s = models.FloatField(null=True, blank=True, help_text="Missing when silent for longer")
    redundancy_tolerance = models.FloatField(null=True, blank=True, help_text="In the unit")
    note = models.CharField(max_length=200, blank=True, help_text="Where the numbers come from")

    def __str__(self) -> str:
        return f"limits of {self.point}"

    def clean(self) -> None:
        """Refuse a suspect threshold beyond its fail threshold, and negative ones."""
        errors: dict[str, str] = {}
        for name in ("rate", "spike", "flat"):
            ends = ("suspect_s", "fail_s") if name == "flat" else ("suspect", "fail")
            suspect, fail = (getattr(self, f"{name}_{end}") for end in ends)
            if suspect is not None and fail is not None and suspect > fail:
                errors[f"{name}_{ends[0]}"] = (
                    f"Point {self.point}: {name} is suspect from {suspect:g} but fails from "
                    f"{fail:g} already; swap them."
                )
        for field in self._meta.concrete_fields:
            value = getattr(self, field.attname)
            signed = field.name in ("suspect_low", "suspect_high")
            if isinstance(value, float) and not signed and value <= 0:
                errors[field.name] = f"Point {self.point}: {field.name} {value:g} must be above 0."
        low, high = self.suspect_low, self.suspect_high
        if low is not None and high is not None and low >= high:
            errors["suspect_low"] = (
                f"Point {self.point}: suspect below {low:g} and above {high:g} leaves nothing good."
            )
        if errors:
            raise ValidationError(errors)


class RedundancyGroup(models.Model):
    """Points that measure the same thing, compared with one another; one may be the reference."""

    name = models.CharField(max_length=120, unique=True)
    points = models.ManyToManyField(Point, related_name="redundancy_groups")
    reference = models.ForeignKey(
        Point, models.SET_NULL, null=True, blank=True, related_name="reference_for"
    )
    tolerance = models.FloatField(
        null=True, blank=True, help_text="Allowed difference in the unit; empty: from precision"
    )

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class PointQuality(models.Model):
    """The newest verdict on a point: its flag, each test's flag and sentence, and its scores.

    Scores are shares from 0 to 1, null when nothing could be measured. ``tests`` maps a test's
    name to ``{"flag", "detail"}``.
    """

    point = models.OneToOneField(
        Point, models.CASCADE, primary_key=True, related_name="quality_state"
    )
    computed_at = models.DateTimeField()
    window_s = models.FloatField()
    flag = models.SmallIntegerField(choices=Quality.choices, default=Quality.UNKNOWN, db_index=True)
    standing = models.SmallIntegerField(
        choices=Quality.choices,
        default=Quality.GOOD,
        help_text="What new readings carry at least, until the next verdict",
    )
    since = models.DateTimeField(help_text="When the flag became what it is")
    tests = models.JSONField(default=dict)
    readings = models.PositiveIntegerField(default=0)
    expected = models.FloatField(null=True)
    flagged = models.PositiveIntegerField(default=0)
    interval_s = models.FloatField(null=True, help_text="Median time between readings")
    delay_s = models.FloatField(null=True, help_text="Mean time from measured to received")
    run_since = models.DateTimeField(null=True, help_text="Since when the value has not moved")
    longest_run_s = models.FloatField(default=0, help_text="Longest usual time without a change")
    changes = models.PositiveIntegerField(default=0, help_text="Changes seen while learning that")
    memory = models.JSONField(default=dict, help_text="What the slow tests keep between runs")
    completeness = models.FloatField(null=True)
    timeliness = models.FloatField(null=True)
    validity = models.FloatField(null=True)
    precision = models.FloatField(null=True)
    score = models.FloatField(null=True, db_index=True)

    def __str__(self) -> str:
        return f"{self.point_id}: {self.get_flag_display()}"


class Scope(models.TextChoices):
    """Of what a trend is."""

    POINT = "point", "Point"
    ASSET = "asset", "Asset"
    SOURCE = "source", "Source"
    FACILITY = "facility", "Facility"


class QualityTrend(models.Model):
    """Scores of one hour: sums of shares and how many went in, so runs add up.

    ``key`` is the id of the point, asset or source; 0 for the facility.
    """

    scope = models.CharField(max_length=8, choices=Scope.choices)
    key = models.BigIntegerField()
    hour = models.DateTimeField()
    runs = models.PositiveIntegerField(default=0)
    completeness = models.FloatField(null=True)
    timeliness = models.FloatField(null=True)
    validity = models.FloatField(null=True)
    precision = models.FloatField(null=True)
    score = models.FloatField(null=True)

    class Meta:
        ordering = ("hour",)
        constraints = [
            models.UniqueConstraint(
                fields=("scope", "key", "hour"), name="facilities_qualitytrend_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.scope} {self.key} {self.hour.isoformat()}"


class CapacityMeasure(models.Model):
    """One rate measured on this installation, from which the capacity planner reckons."""

    name = models.CharField(max_length=60, primary_key=True)
    value = models.FloatField()
    unit = models.CharField(max_length=30)
    measured_at = models.DateTimeField()
    how = models.CharField(max_length=300)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return f"{self.name} {self.value:g} {self.unit}"
