"""What was executed lately and what is under way, as the policy's limits count it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db.models import Q

from approvals.catalogue import KINDS
from approvals.models import Proposal
from approvals.policy.requirement import Subject
from approvals.states import ProposalState
from facilities.models import Asset

HOUR: Final = timedelta(hours=1)
WRITTEN: Final = (ProposalState.EXECUTING, ProposalState.UNKNOWN, ProposalState.SUCCEEDED)
UNDER_WAY: Final = (ProposalState.APPROVED, *WRITTEN)
"""From the last signature until the effect is known."""

_COLUMNS = (
    "pk", "kind", "target", "risk", "requested_by_id", "requested_by__agent_access__pk",
    "blast_radius", "state", "execution__started_at",
)  # fmt: skip


class Change(NamedTuple):
    """A proposal that was executed in the hour or is under way."""

    subject: Subject
    state: str
    started_at: datetime | None


class Place(NamedTuple):
    """Kind of an asset and the slug of its hall ("" outside the halls)."""

    kind: str
    hall: str


def places_of(tags: Iterable[str]) -> dict[str, Place]:
    """Where assets are (one query); unknown tags are left out."""
    rows = Asset.objects.filter(tag__in=set(tags)).values_list(
        "tag", "kind", "hall__slug", "rack__hall__slug"
    )
    return {tag: Place(kind, hall or rack_hall or "") for tag, kind, hall, rack_hall in rows}


def author_word(requested_by: int | None, agent_access: int | None) -> str:
    """Who asked, as rules name it: agent, outside or person."""
    if requested_by is None:
        return "agent"
    return "outside" if agent_access is not None else "person"


def changes_at(at: datetime) -> list[Change]:
    """Executions that began in the hour before `at` or since, and what is under way (two queries).

    Since: a claim that waited for another's lock has an `at` from before it waited.
    """
    wanted = Q(execution__started_at__gt=at - HOUR)
    rows = list(
        Proposal.objects.filter(wanted | Q(state__in=UNDER_WAY), is_drill=False).values_list(
            *_COLUMNS
        )
    )
    return _changes(rows)


def changes_between(after: datetime, before: datetime) -> list[Change]:
    """Executions that began between two times, oldest first (two queries)."""
    rows = Proposal.objects.filter(
        execution__started_at__gt=after, execution__started_at__lte=before
    ).values_list(*_COLUMNS)
    return sorted(_changes(list(rows)), key=lambda change: str(change.started_at))


def _changes(rows: Sequence[tuple[Any, ...]]) -> list[Change]:
    places = places_of(row[2] for row in rows) if rows else {}
    return [
        Change(
            subject_from(
                kind=kind,
                target=target,
                risk=risk,
                author=author_word(requested_by, access),
                blast_radius=radius,
                place=places.get(target),
                proposal_id=pk,
            ),
            state,
            started_at,
        )
        for pk, kind, target, risk, requested_by, access, radius, state, started_at in rows
    ]


def subject_from(
    *,
    kind: str,
    target: str,
    risk: str,
    author: str,
    blast_radius: dict[str, Any],
    place: Place | None,
    proposal_id: int | None,
) -> Subject:
    """A subject from stored columns; a target that is gone keeps the kind of its action."""
    known = KINDS.get(kind)
    return Subject(
        kind=kind,
        target=target,
        target_kind=place.kind if place else (known.target_kind if known else ""),
        hall=place.hall if place else "",
        risk=risk,
        author=author,
        blast_radius=blast_radius,
        proposal_id=proposal_id,
    )


def subject_of_proposal(proposal: Proposal) -> Subject:
    """A stored proposal as the policy sees it (two queries at most)."""
    from approvals.models import AgentAccess

    access = None
    if proposal.requested_by_id is not None:
        mine = AgentAccess.objects.filter(account_id=proposal.requested_by_id)
        access = mine.values_list("pk", flat=True).first()
    return subject_from(
        kind=proposal.kind,
        target=proposal.target,
        risk=proposal.risk,
        author=author_word(proposal.requested_by_id, access),
        blast_radius=proposal.blast_radius,
        place=places_of([proposal.target]).get(proposal.target),
        proposal_id=proposal.pk,
    )
