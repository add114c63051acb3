"""What one person sees of one proposal: the same card on the queue, on the detail page and in live
updates.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.contrib.auth.models import AbstractUser
from django.db.models import prefetch_related_objects
from django.urls import reverse
from django.utils import timezone

from approvals.attention import Attention, attention_of
from approvals.catalogue import check_conditions
from approvals.models import Effect, Execution, Proposal
from approvals.plot import Plot, plot_of
from approvals.policy.evaluate import denials, subject_of_proposal
from approvals.policy.requirement import ROLE_ORDER, Denial, Requirement
from approvals.services.signatures import objection_to, signatures_of, why_not_approve
from approvals.situations import latest_measured
from approvals.states import OPEN_STATES, ProposalState

S = ProposalState

# The happy path, as the progress line names it.
STAGES = (
    (S.PENDING, "Proposed"),
    (S.APPROVED, "Signed"),
    (S.EXECUTING, "Writing"),
    (S.SUCCEEDED, "Written"),
    (S.VERIFIED, "Verified"),
)
ENDINGS = {
    S.REJECTED: 1,
    S.EXPIRED: 1,
    S.SUPERSEDED: 1,
    S.UNKNOWN: 3,
    S.FAILED: 3,
    S.NO_EFFECT: 4,
    S.CANNOT_TELL: 4,
    S.ROLLED_BACK: 4,
}
QUIET_ENDINGS = (S.REJECTED, S.EXPIRED, S.SUPERSEDED, S.CANNOT_TELL, S.ROLLED_BACK)

NEEDS_YOU, WAITS, UNDER_WAY, ENDED = "needs_you", "waits", "under_way", "ended"

CHARTS = 4
"""Points drawn as evidence: the alarm's own and the most telling ones."""


class Stage(NamedTuple):
    """One stop of the progress line; `mark`: done | now | end | bad | todo."""

    label: str
    mark: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Card:
    """A proposal with what the person may do about it; `blocked` says why not, "" when nothing is
    in the way. `signatures` is what the API shows: {have, need, roles_missing, signed_by}.
    `denials` are what the policy forbids now (only where the whole card is shown); `attention` is
    what it waits for from a person while it is carried out.
    """

    proposal: Proposal
    can_approve: bool
    can_reject: bool
    can_revise: bool
    can_break_glass: bool
    blocked: str
    group: str
    requirement: Requirement
    signatures: Mapping[str, Any]
    stages: list[Stage]
    execution: Execution | None
    effect: Effect | None
    denials: Sequence[Denial] = field(default_factory=list)
    attention: Attention | None = None
    is_open: bool = False

    @property
    def pending(self) -> bool:
        return self.proposal.state == S.PENDING

    @property
    def under_way(self) -> bool:
        return self.group == UNDER_WAY

    @property
    def reason_required(self) -> bool:
        return self.requirement.reason

    @property
    def reauthenticate(self) -> bool:
        return self.requirement.reauthenticate

    @property
    def ends_at(self) -> datetime | None:
        """When it runs out: undecided, signed and not executed, or waiting at a hold."""
        if self.pending:
            return self.proposal.expires_at
        if self.attention is not None and self.attention.until is not None:
            return self.attention.until
        return self.proposal.execute_before if self.proposal.state == S.APPROVED else None

    @property
    def began_at(self) -> datetime:
        """Where the countdown to `ends_at` began."""
        if self.attention is not None and self.attention.since is not None:
            return self.attention.since
        return self.proposal.created_at if self.pending else self.proposal.state_changed_at

    @property
    def dots(self) -> list[bool]:
        """One for each signature that is needed, True where it was given."""
        need, have = max(int(self.signatures["need"]), 1), int(self.signatures["have"])
        return [index < have for index in range(max(need, have))]

    @property
    def still_needed(self) -> str:
        """Who has to sign yet, in words."""
        if not self.pending:
            return ""
        roles = self.signatures["roles_missing"]
        if not roles:
            return ""
        missing = max(int(self.signatures["need"]) - int(self.signatures["have"]), 1)
        able = list(ROLE_ORDER[ROLE_ORDER.index(self.requirement.least_role) :])
        who = f"{able[0]} or above" if list(roles) == able else " or ".join(roles)
        count = "one" if missing == 1 else str(missing)
        more = " more" if self.signatures["have"] else ""
        return f"{count}{more} {'signature' if missing == 1 else 'signatures'}: {who}"

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
            if write.get("body"):
                continue
            asset, _, quantity = write["tag"].rpartition(".")
            changes.append({"asset": asset, "quantity": quantity, "value": write["value"]})
        question = {"changes": changes, "title": self.proposal.title}
        return f"{reverse('facilities:whatif')}?{urlencode({'q': json.dumps(question)})}"

    @property
    def alarms(self) -> list[dict[str, Any]]:
        return [item for item in self.proposal.evidence if item.get("kind") == "alarm"]

    @property
    def severity(self) -> str:
        """Of the alarm that it answers; "" without one."""
        alarm = self.proposal.alarm
        return alarm.severity if alarm else ""

    @property
    def experience(self) -> list[dict[str, Any]]:
        """What happened the last times, from released outcome reports."""
        return [item for item in self.proposal.evidence if item.get("kind") == "experience"]

    @property
    def readings(self) -> list[dict[str, Any]]:
        return [item for item in self.proposal.evidence if item.get("kind") == "reading"]

    @property
    def chart_tags(self) -> list[str]:
        """Points whose course speaks for or against it: the alarm's, the promised, the telling."""
        tags = [item.get("tag", "") for item in (*self.alarms[:1],)]
        tags.append(self.proposal.expected_effect.get("tag", ""))
        tags += [item.get("tag", "") for item in self.readings]
        return [tag for tag in dict.fromkeys(tags) if tag][:CHARTS]


def card_for(*, proposal: Proposal, user: AbstractUser, is_open: bool = False) -> Card:
    """Build the card.

    Pass rows of `selectors.proposals()`; then a folded one costs no query but, once, the user's
    permissions and groups. An open one asks the policy what it forbids now.
    """
    prefetch_related_objects([user], "groups")
    pending = proposal.state == S.PENDING and proposal.expires_at > timezone.now()
    may_decide = user.has_perm("approvals.decide_proposal")
    blocked = why_not_approve(proposal, user) if pending else ""
    can_approve = pending and not blocked
    forbidden = _denials(proposal) if is_open and pending else []
    requirement = Requirement.from_dict(proposal.requirement)
    signatures = signatures_of(proposal)
    attention = attention_of(proposal, user)
    in_the_way = bool(blocked or forbidden or signatures["need"] - signatures["have"] > 1)
    can_alone = (
        is_open
        and pending
        and in_the_way
        and user.has_perm("approvals.break_glass")
        and objection_to(proposal, user, requirement, alone=True) is None
        and all(denial.can_break_glass for denial in forbidden)
    )
    return Card(
        proposal=proposal,
        can_approve=can_approve,
        can_reject=pending and may_decide,
        can_revise=pending and may_decide and user.has_perm("approvals.add_proposal"),
        can_break_glass=can_alone,
        blocked=blocked,
        group=_group(proposal, can_approve=can_approve, attention=attention),
        requirement=requirement,
        signatures=signatures,
        stages=_stages(proposal),
        execution=getattr(proposal, "execution", None),
        effect=getattr(proposal, "effect", None),
        denials=forbidden,
        attention=attention,
        is_open=is_open,
    )


def _group(proposal: Proposal, *, can_approve: bool, attention: Attention | None) -> str:
    if attention is not None and attention.is_mine:
        return NEEDS_YOU
    if proposal.state == S.PENDING:
        return NEEDS_YOU if can_approve else WAITS
    return UNDER_WAY if proposal.state in OPEN_STATES else ENDED


def _denials(proposal: Proposal) -> list[Denial]:
    return denials(subject=subject_of_proposal(proposal), at=timezone.now(), step="approve")


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
