"""Rows of the gate, one file per noun."""

from approvals.models.agent import AgentAccess
from approvals.models.audit import GENESIS, AuditAnchor, AuditEntry
from approvals.models.binding import DriverBinding
from approvals.models.execution import Effect, EffectVerdict, Execution, Outcome
from approvals.models.investigation import Investigation, InvestigationOutcome
from approvals.models.proposal import Decision, Proposal, ProposalTransition, Verdict
from approvals.states import ProposalState, Risk

__all__ = [
    "GENESIS",
    "AgentAccess",
    "AuditAnchor",
    "AuditEntry",
    "Decision",
    "DriverBinding",
    "Effect",
    "EffectVerdict",
    "Execution",
    "Investigation",
    "InvestigationOutcome",
    "Outcome",
    "Proposal",
    "ProposalState",
    "ProposalTransition",
    "Risk",
    "Verdict",
]
