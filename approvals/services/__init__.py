"""Everything that changes a row of the gate. Keyword-only, typed, named `<entity>_<verb>`."""

from approvals.services.break_glass import break_glass_review
from approvals.services.decisions import proposal_approve, proposal_reject
from approvals.services.proposals import (
    ProposalDraft,
    proposal_create,
    proposal_expire_due,
    proposal_request,
)
from approvals.services.revisions import proposal_revise
from approvals.services.transitions import proposal_move

__all__ = [
    "ProposalDraft",
    "break_glass_review",
    "proposal_approve",
    "proposal_create",
    "proposal_expire_due",
    "proposal_move",
    "proposal_reject",
    "proposal_request",
    "proposal_revise",
]
