"""How people work with the gate: what they opened, drills, shift hand-overs."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from approvals.models.proposal import Proposal


class ProposalLook(models.Model):
    """When somebody first saw a proposal and first opened its evidence (details, chart, step)."""

    proposal = models.ForeignKey(Proposal, on_delete=models.PROTECT, related_name="looks")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    seen_at = models.DateTimeField()
    opened_at = models.DateTimeField(null=True, blank=True)
    opened = models.JSONField(default=list, help_text="What was opened, in order, each once.")

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("proposal", "user"), name="approvals_one_look_each"),
        )

    def __str__(self) -> str:
        return f"look of {self.user_id} at #{self.proposal_id}"


class Drill(models.Model):
    """A known-bad proposal that was planted. `flaw` says what is wrong with it, for afterwards."""

    proposal = models.OneToOneField(Proposal, on_delete=models.PROTECT, related_name="drill")
    flaw = models.TextField()
    planted_at = models.DateTimeField()
    revealed_at = models.DateTimeField(null=True, blank=True)
    was_caught = models.BooleanField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"drill #{self.proposal_id}"


class HandoverNote(models.Model):
    """What one shift tells the next. `facts` are written by the platform, `text` by a person."""

    written_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    written_at = models.DateTimeField()
    since = models.DateTimeField()
    text = models.TextField(blank=True)
    facts = models.JSONField(default=dict)
    taken_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    taken_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"hand-over of {self.written_at:%Y-%m-%d %H:%M}"
