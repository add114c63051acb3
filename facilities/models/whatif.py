"""A what-if that a worker computes: question, progress, answer."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse


class WhatIfState(models.TextChoices):
    """How far a run is."""

    QUEUED = "queued", "Waiting for a worker"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


WHATIF_OPEN = (WhatIfState.QUEUED, WhatIfState.RUNNING)


class WhatIfRun(models.Model):
    """One question to the twin with many draws, answered by a worker.

    A worker claims a queued row by a conditional update and renews ``heartbeat_at`` while it
    computes; who finds that the row is no longer running stops. Progress is from 0 to 1.
    """

    title = models.CharField(max_length=200)
    question: models.JSONField[Any, Any] = models.JSONField(
        default=dict, help_text="As it was asked, see docs/what-if.md"
    )
    answer: models.JSONField[Any, Any] = models.JSONField(null=True, blank=True)
    state = models.CharField(max_length=10, choices=WhatIfState.choices, default=WhatIfState.QUEUED)
    progress = models.FloatField(default=0)
    problem = models.CharField(max_length=500, blank=True, help_text="Why it failed, what to do")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=WhatIfState.values), name="facilities_whatif_known_state"
            ),
            models.CheckConstraint(
                condition=~Q(state=WhatIfState.DONE) | Q(answer__isnull=False),
                name="facilities_whatif_done_has_answer",
            ),
        ]
        indexes = [
            # The sweep for runs whose worker died.
            models.Index(
                fields=("heartbeat_at",),
                condition=Q(state__in=("queued", "running")),
                name="facilities_whatif_open",
            )
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.title}"

    def get_absolute_url(self) -> str:
        """The workbench with this run's question and answer."""
        return f"{reverse('facilities:whatif')}?run={self.pk}"

    @property
    def open(self) -> bool:
        """Whether a worker has it or will take it."""
        return self.state in WHATIF_OPEN
