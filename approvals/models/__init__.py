"""Rows of the gate, one file per noun."""

from approvals.models.agent import AgentAccess
from approvals.models.audit import GENESIS, AuditAnchor, AuditEntry
from approvals.models.binding import DriverBinding
from approvals.models.execution import (
    AssetLease,
    Effect,
    EffectVerdict,
    Execution,
    GateHold,
    Outcome,
)
from approvals.models.investigation import Investigation, InvestigationOutcome, Trigger
from approvals.models.notify import Channel, Delivery, NotificationRule
from approvals.models.policy import (
    BreakGlass,
    BreakGlassReview,
    ChangeVerdict,
    ChangeWindow,
    PolicyChange,
    PolicyVersion,
    ReviewVerdict,
    WindowKind,
)
from approvals.models.proposal import Decision, Proposal, ProposalTransition, Verdict
from approvals.models.signing import Authenticator
from approvals.models.team import Drill, HandoverNote, ProposalLook
from approvals.states import ProposalState, Risk

__all__ = [
    "GENESIS",
    "AgentAccess",
    "AssetLease",
    "AuditAnchor",
    "AuditEntry",
    "Authenticator",
    "BreakGlass",
    "BreakGlassReview",
    "ChangeVerdict",
    "ChangeWindow",
    "Channel",
    "Decision",
    "Delivery",
    "Drill",
    "DriverBinding",
    "Effect",
    "EffectVerdict",
    "Execution",
    "GateHold",
    "HandoverNote",
    "Investigation",
    "InvestigationOutcome",
    "NotificationRule",
    "Outcome",
    "PolicyChange",
    "PolicyVersion",
    "Proposal",
    "ProposalLook",
    "ProposalState",
    "ProposalTransition",
    "ReviewVerdict",
    "Risk",
    "Trigger",
    "Verdict",
    "WindowKind",
]
