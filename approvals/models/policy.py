"""Who must sign what, and when nothing may be changed: data with history."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from approvals.models.proposal import Decision


class PolicyVersion(models.Model):
    """The whole policy as one document. The newest is in force; the database refuses UPDATE and
    DELETE. `made_by` None: the policy that the product came with.
    """

    number = models.PositiveIntegerField(primary_key=True)
    document = models.JSONField()
    digest = models.CharField(max_length=64)
    note = models.TextField(blank=True)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    made_at = models.DateTimeField()

    class Meta:
        ordering = ("-number",)

    def __str__(self) -> str:
        return f"policy {self.number}"


class ChangeVerdict(models.TextChoices):
    WAITING = "", "Waiting for a second person"
    ACCEPTED = "accepted", "Accepted"
    REFUSED = "refused", "Refused"
    WITHDRAWN = "withdrawn", "Withdrawn"


class PolicyChange(models.Model):
    """A change that weakens the policy `base`, until a second person accepts or refuses it.

    `weaker`: [{what, example}], why it needs one. The database refuses another's document, a second
    decision, and acceptance by who made it.
    """

    base = models.PositiveIntegerField()
    document = models.JSONField()
    digest = models.CharField(max_length=64)
    note = models.TextField()
    weaker = models.JSONField(default=list)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    made_at = models.DateTimeField()
    verdict = models.CharField(max_length=10, choices=ChangeVerdict.choices, default="", blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    comment = models.TextField(blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=~models.Q(verdict="accepted", decided_by=models.F("made_by")),
                name="approvals_policy_change_by_two",
            ),
        )

    def __str__(self) -> str:
        return f"change of policy {self.base} by {self.made_by_id}"


class WindowKind(models.TextChoices):
    FREEZE = "freeze", "Change freeze: nothing that it covers is approved or executed"
    MAINTENANCE = "maintenance", "Maintenance: what needs a window may be executed"


class ChangeWindow(models.Model):
    """A time in which changes are forbidden, or in which those that need a window are allowed.

    `weekly` is {} for once, else {days: [0..6], from: "22:00", to: "04:00", zone: "Europe/Berlin"}
    within starts_at..ends_at. `match` narrows it as a policy rule's `match` does; {}: everything.
    A window is cancelled, never changed or deleted.
    """

    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=12, choices=WindowKind.choices)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    weekly = models.JSONField(default=dict, blank=True)
    match = models.JSONField(default=dict, blank=True)
    reason = models.TextField()
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    made_at = models.DateTimeField()
    cancelled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    cancelled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-starts_at", "-id")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(ends_at__gt=models.F("starts_at")),
                name="approvals_window_ends_after_start",
            ),
        )

    def __str__(self) -> str:
        return self.name


class BreakGlass(models.Model):
    """An emergency approval by one person, which others have to review afterwards."""

    decision = models.OneToOneField(Decision, on_delete=models.PROTECT, related_name="break_glass")
    waived = models.JSONField(
        default=list, help_text="What the policy would have asked for, as sentences."
    )
    reviews_needed = models.PositiveSmallIntegerField()
    due_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"break-glass on #{self.decision.proposal_id}"


class ReviewVerdict(models.TextChoices):
    JUSTIFIED = "justified", "Justified"
    NOT_JUSTIFIED = "not_justified", "Not justified"


class BreakGlassReview(models.Model):
    """One person's review. Append-only; never the signer's own."""

    break_glass = models.ForeignKey(BreakGlass, on_delete=models.PROTECT, related_name="reviews")
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    verdict = models.CharField(max_length=14, choices=ReviewVerdict.choices)
    comment = models.TextField()
    at = models.DateTimeField()

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=("break_glass", "reviewer"), name="approvals_one_review_per_person"
            ),
        )

    def __str__(self) -> str:
        return f"{self.verdict} by {self.reviewer_id}"
