"""What was written to the plant for a proposal, and what came of it."""

from __future__ import annotations

from django.db import models

from approvals.models.proposal import Proposal


class Outcome(models.TextChoices):
    RUNNING = "", "Running"
    SUCCEEDED = "succeeded", "All writes confirmed"
    REFUSED = "refused", "A precondition no longer held; nothing was written"
    FAILED = "failed", "A write failed"


class Execution(models.Model):
    """The single use of an approval.

    The database accepts it only for an executing proposal whose digest was signed.

    `writes`: [{tag, value, key, state: planned|sending|applied|failed, sent_at, answered_at,
    response, error}]. `key` is the idempotency key at the plant: a repeat after a crash uses the
    same one.
    """

    proposal = models.OneToOneField(Proposal, on_delete=models.PROTECT, related_name="execution")
    idempotency_key = models.CharField(max_length=80, unique=True)
    digest = models.CharField(max_length=64)
    preconditions = models.JSONField(
        default=list, help_text="As checked right before the first write."
    )
    writes = models.JSONField(default=list)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default="", blank=True)
    detail = models.TextField(blank=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.idempotency_key


class EffectVerdict(models.TextChoices):
    MEASURING = "", "Measuring"
    VERIFIED = "verified", "Verified"
    NO_EFFECT = "no_effect", "No effect"


class Effect(models.Model):
    """The expected effect held against telemetry. Values in the unit of the point `tag`.

    `before` is None when the point had no reading; `after` and `peak` are filled with the verdict.
    """

    proposal = models.OneToOneField(Proposal, on_delete=models.PROTECT, related_name="effect")
    tag = models.CharField(max_length=120)
    unit = models.CharField(max_length=20, blank=True)
    direction = models.CharField(max_length=10)
    threshold = models.FloatField()
    window_s = models.FloatField()
    started_at = models.DateTimeField()
    before = models.FloatField(null=True, blank=True)
    after = models.FloatField(null=True, blank=True)
    peak = models.FloatField(null=True, blank=True, help_text="Worst value inside the window.")
    measured_at = models.DateTimeField(null=True, blank=True)
    verdict = models.CharField(max_length=10, choices=EffectVerdict.choices, default="", blank=True)
    detail = models.TextField(blank=True)

    class Meta:
        ordering = ("-id",)
        indexes = (models.Index(fields=("verdict", "started_at"), name="approvals_effect_open"),)

    def __str__(self) -> str:
        return f"effect of #{self.proposal_id} on {self.tag}"
