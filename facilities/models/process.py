"""Which processes of the product run, and since when."""

from __future__ import annotations

from django.db import models


class ProcessRun(models.Model):
    """One life of one process. ``seen_at`` is renewed while it lives; nobody has to say good-bye:
    a killed process just is not seen any more.
    """

    kind = models.CharField(max_length=60, help_text="web, or the name of a worker")
    host = models.CharField(max_length=120)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ("-started_at", "-id")
        indexes = [models.Index(fields=("seen_at",), name="facilities_processrun_seen")]

    def __str__(self) -> str:
        return f"{self.kind}@{self.host} {self.pid}"
