"""Why an approved proposal is not executed yet: said once in the trail, and on the page."""

from __future__ import annotations

from django.db import transaction

from approvals.audit import audit_append
from approvals.live import push_proposal
from approvals.models import AuditEntry, Execution, Proposal
from approvals.states import ProposalState

WAITING = "execution.waiting"


class WaitError(Exception):
    """It may not be executed yet, but will without a person: tried again by the sweep.

    `code` says what it waits for, briefly; `until` (ISO) when that ends, "" where nobody knows.
    """

    def __init__(self, code: str, sentence: str, *, until: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.until = until


def waiting_note(*, proposal_id: int, wait: WaitError) -> None:
    """Say it in the trail, once for each reason and round."""
    obj = f"proposal:{proposal_id}"
    with transaction.atomic():
        found = Proposal.objects.select_for_update(no_key=True).get(pk=proposal_id)
        if found.state != ProposalState.APPROVED:
            return
        last = _last(obj)
        if last is not None and (last.payload.get("code"), last.payload.get("round")) == (
            wait.code,
            found.round,
        ):
            return
        audit_append(
            event=WAITING,
            actor="executor",
            obj=obj,
            payload={
                "code": wait.code,
                "sentence": wait.sentence,
                "until": wait.until,
                "round": found.round,
            },
        )
        push_proposal(proposal_id=proposal_id, event="waiting")


def waiting_sentence(*, proposal: Proposal) -> str:
    """What an approved or executing proposal waits for, as last noted; '' when nothing is known.
    One query."""
    if proposal.state == ProposalState.EXECUTING:
        rows = Execution.objects.filter(proposal=proposal, finished_at=None)
        return str((rows.values_list("waits", flat=True).first() or {}).get("sentence", ""))
    if proposal.state != ProposalState.APPROVED:
        return ""
    last = _last(f"proposal:{proposal.pk}")
    if last is None or last.payload.get("round") != proposal.round:
        return ""
    return str(last.payload["sentence"])


def _last(obj: str) -> AuditEntry | None:
    return AuditEntry.objects.filter(object=obj, event=WAITING).order_by("-seq").first()
