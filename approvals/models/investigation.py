"""The agent's look at one alarm or asset: every step it took, with inputs, outputs and time."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from approvals.models.proposal import Proposal


class InvestigationOutcome(models.TextChoices):
    RUNNING = "", "Looking"
    PROPOSED = "proposed", "Proposed an action"
    ATTACHED = "attached", "Attached to an open proposal"
    NONE = "none", "No action proposed"
    FAILED = "failed", "Could not finish"


class Trigger(models.TextChoices):
    ALARM = "alarm", "An alarm"
    SCHEDULE = "schedule", "A schedule"
    REQUEST = "request", "An operator's request"


class Investigation(models.Model):
    """One per alarm: the unique row is the claim. Those on a schedule or request have none.

    `hypotheses`: [{cause, asset, likelihood, evidence, against}], most likely first. `record` holds
    all that the conclusion was drawn from, so that it can be drawn again.

    `timeline`: [{step, title, started_at, ms, ok, input, output}], in order.
    """

    alarm = models.OneToOneField(
        "facilities.Alarm",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="investigation",
    )
    trigger = models.CharField(max_length=10, choices=Trigger.choices, default=Trigger.ALARM)
    subject = models.CharField(
        max_length=80, blank=True, help_text="Asset tag; empty where the alarm says it."
    )
    question = models.TextField(blank=True, help_text="What an operator asked for.")
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    hypotheses = models.JSONField(default=list, blank=True)
    record = models.JSONField(default=dict, blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=1)
    outcome = models.CharField(
        max_length=10, choices=InvestigationOutcome.choices, default="", blank=True
    )
    conclusion = models.TextField(blank=True)
    with_model = models.BooleanField(
        default=False, help_text="Whether the language model answered."
    )
    proposal = models.ForeignKey(
        Proposal, null=True, blank=True, on_delete=models.PROTECT, related_name="investigations"
    )
    timeline = models.JSONField(default=list)

    class Meta:
        ordering = ("-started_at",)
        indexes = (models.Index(fields=("outcome", "started_at"), name="approvals_inv_outcome"),)
        constraints = (
            models.UniqueConstraint(
                fields=("subject",),
                condition=models.Q(alarm__isnull=True, outcome=""),
                name="approvals_one_look_at_a_time",
            ),
        )

    def __str__(self) -> str:
        if self.alarm_id is None:
            return f"look at {self.subject}"
        return f"investigation of alarm {self.alarm_id}"

    @property
    def title(self) -> str:
        """What it is about, as a list names it. Reads the alarm with its point, asset and rule."""
        if self.alarm is not None:
            return f"{self.alarm.point.asset.name}: {self.alarm.rule.name}"
        return f"{self.subject}: {self.question}" if self.question else self.subject

    @property
    def budget_spent(self) -> bool:
        """Whether it ended early because its step budget was spent."""
        return any(step.get("output", {}).get("skipped") for step in self.timeline)

    @property
    def duration_ms(self) -> float:
        return sum(step.get("ms", 0.0) for step in self.timeline)
