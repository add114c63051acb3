"""What was written to the plant for a proposal, and what came of it."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from approvals.models.proposal import Proposal


class Outcome(models.TextChoices):
    RUNNING = "", "Running"
    SUCCEEDED = "succeeded", "All writes confirmed"
    REFUSED = "refused", "A precondition no longer held; nothing was written"
    FAILED = "failed", "A write failed"
    STOPPED = "stopped", "Stopped by a person before the last write"
    UNKNOWN = "unknown", "A write's outcome is unknown"


class Execution(models.Model):
    """The single use of an approval.

    The database accepts it only for an executing proposal whose digest was signed.

    `writes`: [{tag, value, body?, key, state: planned|sending|applied|failed|unknown, before,
    previous, sent_at, answered_at, response, error, changed, device_reads, confirmed,
    confirm_detail}]. `key` is the idempotency key at the plant: a repeat after a crash uses the same
    one. `before` is the point's reading before the claim, `previous` the plant's own word;
    `changed`: the device took `device_reads` in place of the value; `confirmed` is what telemetry
    showed afterwards (None: it does not tell). Orders and keys never change (migration 0010).
    """

    proposal = models.OneToOneField(Proposal, on_delete=models.PROTECT, related_name="execution")
    idempotency_key = models.CharField(max_length=80, unique=True)
    digest = models.CharField(max_length=64)
    preconditions = models.JSONField(
        default=list, help_text="As checked right before the first write."
    )
    writes = models.JSONField(default=list)
    fence = models.PositiveIntegerField(
        default=0, help_text="Counts the workers that took it on; an older one may write no more."
    )
    holds = models.JSONField(
        default=list,
        help_text="[{step, kind, title, reached_at, due_at, released_by, released_at, note}].",
    )
    steps = models.JSONField(
        default=list, help_text="Steps that were begun, [{n, state, since, due_at, confirm}]."
    )
    waits = models.JSONField(
        default=dict,
        blank=True,
        help_text="{code, before, sentence, since, due_at, until} while it waits in between.",
    )
    stop_requested_at = models.DateTimeField(null=True, blank=True)
    stop_requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    stop_reason = models.TextField(blank=True)
    progressed_at = models.DateTimeField(
        null=True, blank=True, help_text="When a worker or a person last moved it on."
    )
    confirmed_at = models.DateTimeField(
        null=True, blank=True, help_text="When the read-back from telemetry ended."
    )
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default="", blank=True)
    detail = models.TextField(blank=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.idempotency_key


class AssetLease(models.Model):
    """One asset is written by one proposal at a time. `token` only ever counts up (fencing)."""

    asset = models.CharField(max_length=80, primary_key=True)
    token = models.BigIntegerField(default=0)
    holder = models.ForeignKey(
        Proposal, null=True, blank=True, on_delete=models.PROTECT, related_name="leases"
    )
    taken_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("asset",)

    def __str__(self) -> str:
        return f"{self.asset} {self.token}"


class GateHold(models.Model):
    """Stop everything: while one is not lifted, the executor claims nothing and sends nothing."""

    reason = models.TextField()
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    made_at = models.DateTimeField()
    lifted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    lifted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                models.Value(1),
                condition=models.Q(lifted_at__isnull=True),
                name="approvals_one_hold_at_a_time",
            ),
        )

    def __str__(self) -> str:
        return f"hold since {self.made_at}"


class EffectVerdict(models.TextChoices):
    MEASURING = "", "Measuring"
    VERIFIED = "verified", "Verified"
    NO_EFFECT = "no_effect", "No effect"
    CANNOT_TELL = "cannot_tell", "Cannot be told"


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
    control = models.JSONField(
        default=dict,
        blank=True,
        help_text="{twin, siblings}: what the point would have done without the writes.",
    )
    estimate = models.FloatField(
        null=True, blank=True, help_text="Measured less control, in the point's unit."
    )
    estimate_low = models.FloatField(null=True, blank=True, help_text="90 % interval.")
    estimate_high = models.FloatField(null=True, blank=True)
    verdict = models.CharField(max_length=12, choices=EffectVerdict.choices, default="", blank=True)
    detail = models.TextField(blank=True)

    class Meta:
        ordering = ("-id",)
        indexes = (models.Index(fields=("verdict", "started_at"), name="approvals_effect_open"),)

    def __str__(self) -> str:
        return f"effect of #{self.proposal_id} on {self.tag}"
