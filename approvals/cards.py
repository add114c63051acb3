"""What one person sees of one proposal: the same card on the queue, on the detail page and in live
updates.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.contrib.auth.models import AbstractUser
from django.urls import reverse
from django.utils import timezone

from approvals.catalogue import check_conditions
from approvals.models import Effect, Execution, Proposal, Risk
from approvals.plot import Plot, plot_of
from approvals.situations import latest_measured
from approvals.states import ProposalState

S = ProposalState

# The happy path, as the progress line names it.
STAGES = (
    (S.PENDING, "Proposed"),
    (S.APPROVED, "Signed"),
    (S.EXECUTING, "Writing"),
    (S.SUCCEEDED, "Written"),
    (S.VERIFIED, "Verified"),
)
ENDINGS = {S.REJECTED: 1, S.EXPIRED: 1, S.FAILED: 3, S.NO_EFFECT: 4}
QUIET_ENDINGS = (S.REJECTED, S.EXPIRED)


class Stage(NamedTuple):
    """One stop of the progress line; `mark`: done | now | end | bad | todo."""

    label: str
    mark: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Card:
    """A proposal with what the person may do about it; `blocked` says why not, "" when nothing is
    in the way.
    """

    proposal: Proposal
    can_approve: bool
    can_reject: bool
    blocked: str
    stages: list[Stage]
    execution: Execution | None
    effect: Effect | None

    @property
    def pending(self) -> bool:
        return self.proposal.state == S.PENDING

    @property
    def under_way(self) -> bool:
        return self.proposal.state in (S.APPROVED, S.EXECUTING, S.SUCCEEDED)

    @property
    def reason_required(self) -> bool:
        return self.proposal.risk == Risk.HIGH

    @property
    def plot(self) -> Plot | None:
        """The prediction as a drawing; None without one."""
        return plot_of(
            self.proposal.prediction, threshold=self.proposal.expected_effect.get("threshold")
        )

    @property
    def whatif_url(self) -> str:
        """The workbench with this action, to be looked at from the state that is live then."""
        changes = []
        for write in self.proposal.writes:
            asset, _, quantity = write["tag"].rpartition(".")
            changes.append({"asset": asset, "quantity": quantity, "value": write["value"]})
        question = {"changes": changes, "title": self.proposal.title}
        return f"{reverse('facilities:whatif')}?{urlencode({'q': json.dumps(question)})}"

    @property
    def alarms(self) -> list[dict[str, Any]]:
        return [item for item in self.proposal.evidence if item.get("kind") == "alarm"]

    @property
    def experience(self) -> list[dict[str, Any]]:
        """What happened the last times, from released outcome reports."""
        return [item for item in self.proposal.evidence if item.get("kind") == "experience"]

    @property
    def readings(self) -> list[dict[str, Any]]:
        return [item for item in self.proposal.evidence if item.get("kind") == "reading"]


def card_for(*, proposal: Proposal, user: AbstractUser) -> Card:
    """Build the card.

    Pass rows of `selectors.proposals()`; then it costs no query but the user's permissions.
    """
    pending = proposal.state == S.PENDING and proposal.expires_at > timezone.now()
    may_decide = user.has_perm("approvals.decide_proposal")
    blocked = _blocked(proposal, user, may_decide) if pending else ""
    return Card(
        proposal=proposal,
        can_approve=pending and not blocked,
        can_reject=pending and may_decide,
        blocked=blocked,
        stages=_stages(proposal),
        execution=getattr(proposal, "execution", None),
        effect=getattr(proposal, "effect", None),
    )


def _blocked(proposal: Proposal, user: AbstractUser, may_decide: bool) -> str:
    if not may_decide:
        return "You can look; an operator signs."
    if proposal.requested_by_id == user.pk:
        return "You asked for this, so somebody else has to sign."
    if proposal.risk == Risk.HIGH and not user.has_perm("approvals.decide_high_risk"):
        return "High risk: a supervisor has to sign."
    return ""


def _stages(proposal: Proposal) -> list[Stage]:
    reached = {t.to_state: t.at for t in proposal.transitions.all()}
    state = ProposalState(proposal.state)
    bad_at = ENDINGS.get(state)
    order = [s for s, _ in STAGES]
    now_at = order.index(state) if state in order else len(STAGES)
    stages = []
    for index, (stage, label) in enumerate(STAGES):
        if bad_at is not None and index == bad_at:
            mark = "end" if state in QUIET_ENDINGS else "bad"
            stages.append(Stage(state.label, mark, reached.get(state)))
        elif bad_at is not None and index > bad_at:
            break
        elif index < now_at or state == S.VERIFIED:
            stages.append(Stage(label, "done", reached.get(stage)))
        else:
            stages.append(Stage(label, "now" if index == now_at else "todo", reached.get(stage)))
    return stages


def precondition_rows(proposal: Proposal) -> list[dict[str, Any]]:
    """Preconditions with actual values: as checked at execution if it came to that, else as they
    are now.
    """
    execution = getattr(proposal, "execution", None)
    whys = {
        (c["tag"], f"{c['op']} {float(c['value']):g}"): c["why"] for c in proposal.preconditions
    }
    if execution is not None and execution.preconditions:
        rows = execution.preconditions
    else:
        values = latest_measured(tags=[c["tag"] for c in proposal.preconditions])
        rows = [
            c.as_dict()
            for c in check_conditions(proposal.preconditions, values, now=timezone.now())
        ]
    return [{**row, "why": whys.get((row["tag"], row["expected"]), "")} for row in rows]
