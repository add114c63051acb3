"""How the series of a source become points of the data list."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from .point import Point
from .source import Source

MAX_KEY = 512
"""Characters of a series key; a longer one is refused. Assumed: the longest real ones have 300."""


class Converter(models.Model):
    """The rules of one source, as a YAML document; see ``facilities/converters/document.py``."""

    source = models.OneToOneField(Source, models.CASCADE, related_name="converter")
    document = models.TextField(blank=True, max_length=100_000)
    enabled = models.BooleanField(default=True)
    updated_at = models.DateTimeField(auto_now=True)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    def __str__(self) -> str:
        return f"converter of {self.source}"


class SourceSeries(models.Model):
    """A foreign series that became a point by auto-registration, or was given one by a person."""

    source = models.ForeignKey(Source, models.CASCADE, related_name="series")
    key = models.CharField(max_length=MAX_KEY)
    point = models.ForeignKey(Point, models.CASCADE, related_name="series")
    registered_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "source series"
        ordering = ("source", "key")
        constraints = [
            models.UniqueConstraint(fields=("source", "key"), name="facilities_series_unique")
        ]

    def __str__(self) -> str:
        return self.key


class CounterState(models.Model):
    """The last counter readings of one series: a rate needs the one before, across processes.

    ``history`` holds up to ``converters.counters.KEPT`` pairs ``[ts_us, count]``, oldest first. It
    reaches back further than one so that a repeated request gives the same rates.
    """

    source = models.ForeignKey(Source, models.CASCADE, related_name="+")
    key = models.CharField(max_length=MAX_KEY)
    history = models.JSONField(default=list)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("source", "key"), name="facilities_counter_unique")
        ]

    def __str__(self) -> str:
        return self.key


class DerivedPoint(models.Model):
    """A point whose value is computed from other points.

    ``expression`` names them in braces: ``{hall-1.facility_power_w} / {hall-1.it_power_w}``.
    """

    point = models.OneToOneField(Point, models.CASCADE, related_name="derived")
    expression = models.CharField(max_length=2_000)
    max_age_s = models.FloatField(
        default=60.0,
        help_text="An input older than the newest by more than this makes the result suspect",
    )
    enabled = models.BooleanField(default=True)
    problem = models.CharField(max_length=300, blank=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("point__tag",)

    def __str__(self) -> str:
        return f"{self.point} = {self.expression}"

    def clean(self) -> None:
        """Refuse an expression that is not one, unknown points, and cycles."""
        from facilities.converters.derived_graph import check_derived

        check_derived(self)


class DerivedInput(models.Model):
    """One input of a derived point, kept by ``derived_save`` so that arrival can be looked up."""

    derived = models.ForeignKey(DerivedPoint, models.CASCADE, related_name="inputs")
    point = models.ForeignKey(Point, models.CASCADE, related_name="feeds")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("derived", "point"), name="facilities_input_unique")
        ]

    def __str__(self) -> str:
        return f"{self.point} → {self.derived.point}"
