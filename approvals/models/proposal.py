"""A proposal, the states it went through, and the decisions people made on it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from approvals.canonical import digest_of, iso_utc
from approvals.states import LEGAL_TRANSITIONS, OPEN_STATES, STATE_TONES, ProposalState, Risk


class Proposal(models.Model):
    """One concrete action somebody asks to have signed.

    Its payload never changes; the database refuses it.

    `evidence` is outside the payload: further alarms of the same cause are added to it while it
    waits.
    """

    kind = models.CharField(max_length=40)
    target = models.CharField(max_length=80, help_text="Asset tag.")
    title = models.CharField(max_length=200, help_text="The action in plain words.")
    params = models.JSONField(default=dict)
    writes = models.JSONField(
        default=list, help_text="[{tag, value}]: the only setpoints it may touch."
    )
    rationale = models.TextField()
    citations = models.JSONField(default=list)
    evidence = models.JSONField(default=list)
    expected_effect = models.JSONField(default=dict)
    prediction = models.JSONField(
        default=dict,
        blank=True,
        help_text="What the twin predicted, acting and doing nothing; empty: it was not asked.",
    )
    preconditions = models.JSONField(default=list)
    risk = models.CharField(max_length=10, choices=Risk.choices)
    digest = models.CharField(max_length=64, editable=False)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Empty: the agent.",
    )
    alarm = models.ForeignKey(
        "facilities.Alarm",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="proposals",
    )
    state = models.CharField(
        max_length=10, choices=ProposalState.choices, default=ProposalState.DRAFT
    )
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    state_changed_at = models.DateTimeField()

    class Meta:
        ordering = ("-id",)
        permissions = (
            ("decide_proposal", "Can approve or reject proposals"),
            ("decide_high_risk", "Can approve high-risk proposals"),
        )
        constraints = (
            models.UniqueConstraint(
                fields=("kind", "target"),
                condition=Q(state__in=OPEN_STATES),
                name="approvals_one_open_per_target",
            ),
            models.CheckConstraint(
                condition=Q(state__in=ProposalState.values), name="approvals_proposal_known_state"
            ),
        )
        indexes = (
            # The queue and the expiry sweep.
            models.Index(fields=("state", "expires_at"), name="approvals_state_expiry"),
        )

    def __str__(self) -> str:
        return f"#{self.pk} {self.title}"

    def payload(self) -> dict[str, Any]:
        """What a signature binds to. Everything that decides what happens to the plant, and why.

        Without a prediction there is no such key: proposals from before there was a twin keep their
        digest.
        """
        predicted = {"prediction": self.prediction} if self.prediction else {}
        return {
            **predicted,
            "kind": self.kind,
            "target": self.target,
            "title": self.title,
            "params": self.params,
            "writes": self.writes,
            "preconditions": self.preconditions,
            "expected_effect": self.expected_effect,
            "rationale": self.rationale,
            "citations": self.citations,
            "risk": self.risk,
            "alarm": self.alarm_id,
            "requested_by": self.requested_by_id,
            "created_at": iso_utc(self.created_at),
            "expires_at": iso_utc(self.expires_at),
        }

    def computed_digest(self) -> str:
        return digest_of(self.payload())

    @property
    def state_tone(self) -> str:
        return STATE_TONES[self.state]

    @property
    def author(self) -> str:
        """Who asked: the user's name, or `agent`.

        Reads `self.requested_by` (a query when not loaded).
        """
        return "agent" if self.requested_by is None else self.requested_by.get_username()


def _legal_pairs() -> Q:
    condition = Q()
    for source, target in sorted(LEGAL_TRANSITIONS):
        condition |= Q(from_state=source, to_state=target)
    return condition


class ProposalTransition(models.Model):
    """One change of state: a row, never only a field. Append-only."""

    proposal = models.ForeignKey(Proposal, on_delete=models.PROTECT, related_name="transitions")
    from_state = models.CharField(max_length=10, choices=ProposalState.choices)
    to_state = models.CharField(max_length=10, choices=ProposalState.choices)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    at = models.DateTimeField()
    note = models.TextField(blank=True)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=("proposal", "to_state"), name="approvals_each_state_once"
            ),
            models.CheckConstraint(condition=_legal_pairs(), name="approvals_legal_transition"),
        )

    def __str__(self) -> str:
        return f"#{self.proposal_id} {self.from_state} → {self.to_state}"


class Verdict(models.TextChoices):
    APPROVE = "approve", "Approved"
    REJECT = "reject", "Rejected"


class Decision(models.Model):
    """A person's verdict on one digest. Append-only; nobody decides twice on the same proposal."""

    proposal = models.ForeignKey(Proposal, on_delete=models.PROTECT, related_name="decisions")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    reason = models.TextField(blank=True)
    digest = models.CharField(max_length=64)
    at = models.DateTimeField()

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=("proposal", "user"), name="approvals_one_decision_per_person"
            ),
        )

    def __str__(self) -> str:
        return f"{self.verdict} #{self.proposal_id}"
