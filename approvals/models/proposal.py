"""A proposal, the states it went through, and the decisions people made on it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector
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
    steps = models.JSONField(
        default=list,
        blank=True,
        help_text="A procedure's steps, [{n, title, text, writes, confirm, wait_s, hold, cite}]; "
        "empty: the writes in order.",
    )
    blast_radius = models.JSONField(
        default=dict, blank=True, help_text="What the action reaches, from the topology."
    )
    requirement = models.JSONField(
        default=dict, blank=True, help_text="What the policy asked for when it was proposed."
    )
    case = models.JSONField(
        default=dict,
        blank=True,
        help_text="{confidence, uncertainty, counter_evidence, would_change, hypotheses}.",
    )
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
    revises = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="revisions",
        help_text="The proposal that this one replaces with other parameters.",
    )
    revision = models.PositiveSmallIntegerField(default=1)
    edited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Who changed the parameters of `revises`.",
    )
    rolls_back = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="rollbacks",
        help_text="The executed proposal whose writes this one undoes.",
    )
    is_drill = models.BooleanField(
        default=False, help_text="Known to be bad, planted to measure attention; never executable."
    )
    alarm = models.ForeignKey(
        "facilities.Alarm",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="proposals",
    )
    state = models.CharField(
        max_length=12, choices=ProposalState.choices, default=ProposalState.DRAFT
    )
    round = models.PositiveSmallIntegerField(
        default=1, help_text="Counts up when it comes back: earlier signatures are void."
    )
    execute_before = models.DateTimeField(
        null=True, blank=True, help_text="Set with the last signature: the approval's deadline."
    )
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    state_changed_at = models.DateTimeField()

    class Meta:
        ordering = ("-id",)
        permissions = (
            ("decide_proposal", "Can approve or reject proposals"),
            ("decide_high_risk", "Can approve high-risk proposals"),
            ("break_glass", "Can approve alone in an emergency, to be reviewed afterwards"),
            ("review_break_glass", "Can review emergency approvals"),
            ("change_policy", "Can change the policy and its windows"),
            ("stop_all", "Can stop and resume every execution"),
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
            # The history's search (`approvals/search.py` asks for exactly this expression).
            GinIndex(
                SearchVector("title", "rationale", "target", "kind", config="english"),
                name="approvals_proposal_words",
            ),
        )

    def __str__(self) -> str:
        return f"#{self.pk} {self.title}"

    def payload(self) -> dict[str, Any]:
        """What a signature binds to. Everything that decides what happens to the plant, and why.

        What a proposal does not have is no key of it: older proposals keep their digests.
        """
        later = {
            "prediction": self.prediction,
            "steps": self.steps,
            "blast_radius": self.blast_radius,
            "requirement": self.requirement,
            "case": self.case,
            "revises": self.revises_id,
            "edited_by": self.edited_by_id,
            "rolls_back": self.rolls_back_id,
        }
        return {
            **{name: value for name, value in later.items() if value},
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
    round = models.PositiveSmallIntegerField(default=1)
    from_state = models.CharField(max_length=12, choices=ProposalState.choices)
    to_state = models.CharField(max_length=12, choices=ProposalState.choices)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    at = models.DateTimeField()
    note = models.TextField(blank=True)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=("proposal", "to_state", "round"), name="approvals_each_state_once"
            ),
            models.CheckConstraint(condition=_legal_pairs(), name="approvals_legal_transition"),
        )

    def __str__(self) -> str:
        return f"#{self.proposal_id} {self.from_state} → {self.to_state}"


class Verdict(models.TextChoices):
    APPROVE = "approve", "Approved"
    REJECT = "reject", "Rejected"


class Decision(models.Model):
    """A person's verdict on one digest in one round. Append-only; nobody decides twice in a round.

    `role` is the signer's at that time, `reauthenticated` how they proved who they are again ('',
    password or totp). `opened_s`: seconds between first opening the proposal's evidence and the
    verdict, None where it was never opened.
    """

    proposal = models.ForeignKey(Proposal, on_delete=models.PROTECT, related_name="decisions")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    reason = models.TextField(blank=True)
    digest = models.CharField(max_length=64)
    round = models.PositiveSmallIntegerField(default=1)
    role = models.CharField(max_length=20, blank=True)
    reauthenticated = models.CharField(max_length=10, blank=True)
    is_break_glass = models.BooleanField(default=False)
    opened_s = models.FloatField(null=True, blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=("proposal", "user", "round"), name="approvals_one_decision_per_person"
            ),
        )

    def __str__(self) -> str:
        return f"{self.verdict} #{self.proposal_id}"
