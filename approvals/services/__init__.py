"""Everything that changes a row of the gate. Keyword-only, typed, named `<entity>_<verb>`."""

from approvals.services.decisions import proposal_approve, proposal_reject
from approvals.services.proposals import (
    ProposalDraft,
    proposal_create,
    proposal_expire_due,
    proposal_request,
)
from approvals.services.transitions import proposal_move

__all__ = [
    "ProposalDraft",
    "proposal_approve",
    "proposal_create",
    "proposal_expire_due",
    "proposal_move",
    "proposal_reject",
    "proposal_request",
]
