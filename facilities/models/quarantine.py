"""What was pushed and could not be taken, kept until somebody decides."""

from __future__ import annotations

from django.db import models

from .source import Source


class QuarantineState(models.TextChoices):
    """What became of a quarantined item."""

    WAITING = "waiting", "Waiting"
    REPLAYED = "replayed", "Replayed"
    DISCARDED = "discarded", "Discarded"


class QuarantinedItem(models.Model):
    """One rejected item with its reason and its text.

    ``digest`` names what was said (source, series, time, text, reason): a repeated request adds
    nothing. ``value`` and ``ts_us`` are what the decoder made of it, where it made anything.
    """

    source = models.ForeignKey(Source, models.CASCADE, related_name="quarantined")
    at = models.DateTimeField(help_text="When it was received")
    code = models.CharField(max_length=40)
    detail = models.CharField(max_length=500)
    series = models.CharField(max_length=512, blank=True)
    ts_us = models.BigIntegerField(null=True)
    value = models.FloatField(null=True)
    text = models.CharField(max_length=200, null=True)  # noqa: DJ001 - null: it was a number
    hint = models.CharField(max_length=60, blank=True)
    raw = models.TextField(blank=True)
    digest = models.UUIDField()
    state = models.CharField(
        max_length=9, choices=QuarantineState.choices, default=QuarantineState.WAITING
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    decided_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-at", "-id")
        indexes = [
            models.Index(fields=("-at", "-id"), name="facilities_quarantine_at"),
            models.Index(fields=("source", "state", "-at"), name="facilities_quarantine_src"),
            models.Index(fields=("state", "at"), name="facilities_quarantine_age"),
        ]
        constraints = [
            models.UniqueConstraint(fields=("source", "digest"), name="facilities_quarantine_once")
        ]

    def __str__(self) -> str:
        return f"{self.code}: {self.series or self.raw[:60]}"

    @property
    def replayable(self) -> bool:
        """Whether the decoder got far enough for a second try."""
        return bool(self.series) and self.ts_us is not None


class QuarantineDrops(models.Model):
    """Items that the quarantine's bounds removed, by source, UTC day and reason. Never silent."""

    source = models.ForeignKey(Source, models.CASCADE, related_name="quarantine_drops")
    day = models.DateField()
    reason = models.CharField(max_length=10, help_text="flood, count or age")
    count = models.BigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "quarantine drops"
        ordering = ("-day",)
        constraints = [
            models.UniqueConstraint(
                fields=("source", "day", "reason"), name="facilities_quarantinedrops_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.day} {self.reason} {self.count}"
