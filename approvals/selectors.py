"""Reads of the gate that pages, API and agent share."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Case, IntegerField, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Cast

from approvals.catalogue import KINDS, ActionKind
from approvals.errors import InvalidActionError
from approvals.models import AuditEntry, Execution, GateHold, Investigation, Proposal
from approvals.situations import situation_read
from approvals.states import OPEN_STATES, ProposalState
from facilities.models import Asset, Hall


def proposals() -> QuerySet[Proposal]:
    """All proposals with everything their JSON shows: a fixed number of queries."""
    return Proposal.objects.select_related(
        "requested_by",
        "edited_by",
        "alarm__point__asset",
        "alarm__rule",
        "execution",
        "effect",
        "drill",
    ).prefetch_related("decisions__user", "transitions__actor", "revisions")


def proposals_queue(*, limit: int = 50) -> QuerySet[Proposal]:
    """The queue: pending first (soonest expiry on top), then what is under way, then the latest
    ended.
    """
    rank = Case(
        When(state=ProposalState.PENDING, then=Value(0)),
        When(state__in=OPEN_STATES, then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
    return proposals().alias(rank=rank).order_by("rank", "-id")[:limit]


def pending_count() -> int:
    return Proposal.objects.filter(state=ProposalState.PENDING).count()


def open_proposal_in_hall(*, hall: str) -> Proposal | None:
    """The proposal that is open for an asset of this hall, if any (oldest first)."""
    open_ones = list(Proposal.objects.filter(state__in=OPEN_STATES, is_drill=False).order_by("pk"))
    if not open_ones:
        return None
    inside = set(
        Asset.objects.filter(tag__in=[p.target for p in open_ones], hall__slug=hall).values_list(
            "tag", flat=True
        )
    )
    return next((p for p in open_ones if p.target in inside), None)


def investigations() -> QuerySet[Investigation]:
    """All that the agent looked at, newest first, without the records: a fixed number of queries."""
    return Investigation.objects.select_related(
        "alarm__point__asset", "alarm__rule", "proposal", "asked_by"
    ).defer("record")


def investigations_recent(*, limit: int = 8) -> QuerySet[Investigation]:
    """Latest investigations, newest first."""
    return investigations()[:limit]


def audit_of(*, obj: str) -> QuerySet[AuditEntry]:
    """Every audit entry about one object, e.g. `proposal:12`, oldest first."""
    return AuditEntry.objects.filter(object=obj).order_by("seq")


def audit_search(
    *,
    event: str = "",
    actor: str = "",
    obj: str = "",
    text: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[AuditEntry]:
    """The trail, newest first. `event` matches the beginning (`decision.`), actor and object
    exactly, `text` anywhere in an entry's words, case aside; `since` inclusive, `until` exclusive.
    """
    found = AuditEntry.objects.order_by("-seq")
    if since:
        found = found.filter(at__gte=since)
    if until:
        found = found.filter(at__lt=until)
    if text:
        found = found.alias(said=Cast("payload", TextField())).filter(
            Q(said__icontains=text)
            | Q(event__icontains=text)
            | Q(actor__icontains=text)
            | Q(object__icontains=text)
        )
    if event:
        found = found.filter(event__startswith=event)
    if actor:
        found = found.filter(actor=actor)
    if obj:
        found = found.filter(object=obj)
    return found


def investigation_summary(*, investigation_id: int) -> dict[str, Any] | None:
    """One investigation as the live feed shows it; None when it is gone."""
    found = investigations().filter(pk=investigation_id).first()
    if found is None:
        return None
    return {
        "id": found.pk,
        "alarm": found.alarm_id,
        "subject": found.title,
        "outcome": found.outcome,
        "conclusion": found.conclusion,
        "with_model": found.with_model,
        "proposal": found.proposal_id,
    }


def action_list(*, kind: str = "", target: str = "") -> list[dict[str, Any]]:
    """The catalogue with a parameter schema for each asset it can act on; a fixed number of queries
    per hall. `kind` and `target` narrow it. What only the platform makes is left out.
    """
    kinds = [k for k in KINDS.values() if not k.is_internal and kind in ("", k.name)]
    actions = {k.name: _action(k) for k in kinds}
    seen: set[tuple[str, str]] = set()
    for hall in Hall.objects.order_by("slug").values_list("slug", flat=True):
        situation = situation_read(hall=hall, procedures=any(k.needs_procedures for k in kinds))
        for chosen in kinds:
            for tag, name in chosen.targets(situation):
                if target not in ("", tag) or (chosen.name, tag) in seen:
                    continue
                try:
                    schema = chosen.schema(tag, situation)
                except (KeyError, InvalidActionError):  # nothing writable, or no procedure
                    continue
                seen.add((chosen.name, tag))
                actions[chosen.name]["targets"].append({"tag": tag, "name": name, "schema": schema})
    return list(actions.values())


def _action(kind: ActionKind) -> dict[str, Any]:
    return {
        "name": kind.name,
        "title": kind.title,
        "risk": kind.risk,
        "summary": kind.summary,
        "target_kinds": list(kind.target_kinds or (kind.target_kind,)),
        "cool_down_s": kind.cool_down_s,
        "targets": [],
    }


def investigations_of(*, proposal_id: int) -> QuerySet[Investigation]:
    """Investigations that led to a proposal or were attached to it, in the order they were made."""
    return investigations().filter(proposal_id=proposal_id).order_by("started_at")


def gate_hold_now() -> GateHold | None:
    """The hold of the whole gate, if there is one; who made it is selected."""
    return GateHold.objects.filter(lifted_at=None).select_related("made_by", "lifted_by").first()


def writes_under_way() -> list[int]:
    """Proposals with a write that is on its way now; nobody can call it back."""
    sending = Execution.objects.filter(finished_at=None, writes__contains=[{"state": "sending"}])
    return list(sending.order_by("proposal_id").values_list("proposal_id", flat=True))
