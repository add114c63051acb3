"""What it cost to wait for a complete picture of the facility."""

from __future__ import annotations

from typing import Any

from django.db import models


class Barrier(models.Model):
    """One barrier at time ``at``: who reached it, when, and who made everyone wait.

    ``sources`` holds one entry per source: ``name``, ``points``, ``reached`` (None or ISO time),
    ``delay_s`` (reached minus ``at``), ``silent`` (points left out because they have long been
    silent). ``waited_s`` is what a reader lost: to the slowest source, or to the time-out.
    """

    class Asked(models.TextChoices):
        PROBE = "probe", "probe"
        READER = "reader", "reader"

    at = models.DateTimeField(db_index=True)
    asked = models.CharField(max_length=6, choices=Asked.choices)
    reader = models.CharField(max_length=60, blank=True, help_text="Who waited, for example agent")
    waited_s = models.FloatField(help_text="Seconds from the request to the answer")
    timeout_s = models.FloatField()
    complete = models.BooleanField()
    slowest = models.CharField(max_length=100, blank=True)
    held_s = models.FloatField(
        default=0, help_text="Seconds the slowest made all the others wait: last minus last but one"
    )
    sources: models.JSONField[Any, Any] = models.JSONField(default=list)

    class Meta:
        ordering = ("-at", "-id")

    def __str__(self) -> str:
        return f"{self.at.isoformat()} waited {self.waited_s:.2f} s"
