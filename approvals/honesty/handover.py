"""What one shift tells the next: facts by the platform, words by a person, taken over by another."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib.auth.models import AbstractUser
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from approvals.audit import audit_append
from approvals.canonical import iso_utc
from approvals.errors import ConflictError, GateError, NotAllowedError, NotFoundError
from approvals.honesty.load import queue_load
from approvals.models import (
    BreakGlass,
    Decision,
    Execution,
    GateHold,
    HandoverNote,
    Proposal,
    ProposalTransition,
)
from approvals.policy.calendar import occurrences
from approvals.states import OPEN_STATES, ProposalState

S = ProposalState

FIRST_S: Final = 12 * 3600.0
"""How far the first hand-over looks back: one long shift (assumed)."""
LONGEST: Final = timedelta(days=7)
AHEAD: Final = timedelta(hours=24)
MOST: Final = 100
WENT_WRONG: Final = (S.NO_EFFECT, S.CANNOT_TELL, S.FAILED, S.UNKNOWN, S.ROLLED_BACK)


def handover_since(*, now: datetime | None = None) -> datetime:
    """When the last hand-over was written (within a week), else one long shift ago."""
    now = now or timezone.now()
    last = HandoverNote.objects.order_by("-id").values_list("written_at", flat=True).first()
    return max(last, now - LONGEST) if last else now - timedelta(seconds=FIRST_S)


def handover_facts(*, since: datetime, until: datetime) -> dict[str, Any]:
    """What happened in that time and what is coming, as JSON: {since, until, decided, executed,
    open, went_wrong, holds, break_glass, windows, load}. Eight queries, whatever happened.

    A drill that was not revealed is listed as every other open proposal.
    """
    moves = ProposalTransition.objects.filter(at__gte=since, at__lte=until).select_related(
        "proposal"
    )
    decisions = (
        Decision.objects.filter(at__gte=since, at__lte=until)
        .select_related("proposal", "user")
        .order_by("id")[:MOST]
    )
    executions = (
        Execution.objects.filter(started_at__gte=since, started_at__lte=until)
        .select_related("proposal")
        .order_by("id")[:MOST]
    )
    # Of what promises nothing that a point could show (a work order) the effect cannot be told, and
    # nothing went wrong.
    promised_nothing = Q(to_state=S.CANNOT_TELL) & Q(proposal__effect__tag="")
    wrong = moves.filter(to_state__in=WENT_WRONG).exclude(promised_nothing).order_by("id")[:MOST]
    holds = (
        GateHold.objects.filter(made_at__lte=until)
        .exclude(lifted_at__lt=since)
        .select_related("made_by", "lifted_by")
        .order_by("id")
    )
    emergencies = (
        BreakGlass.objects.filter(closed_at__isnull=True)
        .select_related("decision__proposal", "decision__user")
        .order_by("due_at")
    )
    still = Proposal.objects.filter(state__in=OPEN_STATES).order_by("expires_at")[:MOST]
    return {
        "since": iso_utc(since),
        "until": iso_utc(until),
        "decided": [
            {
                **_named(decision.proposal),
                "verdict": decision.verdict,
                "by": decision.user.get_username(),
                "at": iso_utc(decision.at),
                "reason": decision.reason,
                "break_glass": decision.is_break_glass,
            }
            for decision in decisions
        ],
        "executed": [
            {
                **_named(execution.proposal),
                "at": iso_utc(execution.started_at),
                "outcome": execution.outcome or "running",
                "detail": execution.detail,
            }
            for execution in executions
        ],
        "open": [
            {**_named(proposal), "expires_at": iso_utc(proposal.expires_at)} for proposal in still
        ],
        "went_wrong": [
            {
                **_named(move.proposal),
                "became": move.to_state,
                "at": iso_utc(move.at),
                "note": move.note,
            }
            for move in wrong
        ],
        "holds": [
            {
                "reason": hold.reason,
                "by": hold.made_by.get_username(),
                "at": iso_utc(hold.made_at),
                "lifted_by": hold.lifted_by.get_username() if hold.lifted_by else "",
                "lifted_at": iso_utc(hold.lifted_at) if hold.lifted_at else None,
            }
            for hold in holds
        ],
        "break_glass": [
            {
                **_named(found.decision.proposal),
                "by": found.decision.user.get_username(),
                "due_at": iso_utc(found.due_at),
                "overdue": found.due_at < until,
            }
            for found in emergencies
        ],
        "windows": [
            {
                "name": one.name,
                "kind": one.kind,
                "start": iso_utc(one.start),
                "end": iso_utc(one.end),
                "covers": one.covers,
                "reason": one.reason,
            }
            for one in occurrences(after=until, before=until + AHEAD)
        ],
        "load": queue_load(since=since, until=until),
    }


def _named(proposal: Proposal) -> dict[str, Any]:
    return {
        "proposal": proposal.pk,
        "title": proposal.title,
        "risk": proposal.risk,
        "state": proposal.state,
        "state_label": proposal.get_state_display(),
    }


def handover_write(*, user: AbstractUser, text: str) -> HandoverNote:
    """Write the note of the outgoing shift; the facts since the last one are kept with it as they
    are now. Raises NotAllowedError (needs decide_proposal).
    """
    _may(user, "write a hand-over")
    now = timezone.now()
    since = handover_since(now=now)
    facts = handover_facts(since=since, until=now)
    with transaction.atomic():
        note = HandoverNote.objects.create(
            written_by_id=user.pk, written_at=now, since=since, text=text.strip(), facts=facts
        )
        audit_append(
            event="handover.written",
            actor=user.get_username(),
            obj=f"handover:{note.pk}",
            payload={"since": iso_utc(since), "text": note.text, "open": len(facts["open"])},
        )
    return note


def handover_take(*, note_id: int, user: AbstractUser) -> HandoverNote:
    """Take the shift over: somebody else than who wrote the note, once.

    Raises NotFoundError, NotAllowedError (`own_handover`, or no permission), ConflictError
    (`already_taken`). Refusals are audited.
    """
    try:
        return _take(note_id, user)
    except GateError as error:
        audit_append(
            event="handover.denied",
            actor=user.get_username(),
            obj=f"handover:{note_id}",
            payload={"status": error.status, "code": error.code, "detail": error.detail},
        )
        raise


def _take(note_id: int, user: AbstractUser) -> HandoverNote:
    _may(user, "take a shift over")
    now = timezone.now()
    with transaction.atomic():
        note = HandoverNote.objects.select_related("written_by").filter(pk=note_id).first()
        if note is None:
            raise NotFoundError(f"hand-over {note_id} does not exist")
        if note.written_by_id == user.pk:
            raise NotAllowedError(
                f"{user.get_username()} wrote this hand-over; whoever comes takes it over",
                code="own_handover",
            )
        taken = HandoverNote.objects.filter(pk=note_id, taken_at__isnull=True).update(
            taken_by_id=user.pk, taken_at=now
        )
        if taken != 1:
            note = HandoverNote.objects.select_related("taken_by").get(pk=note_id)
            who = note.taken_by.get_username() if note.taken_by else "somebody"
            raise ConflictError(
                f"hand-over {note_id} was taken over by {who} already", code="already_taken"
            )
        audit_append(
            event="handover.taken",
            actor=user.get_username(),
            obj=f"handover:{note_id}",
            payload={"written_by": note.written_by.get_username()},
        )
    return HandoverNote.objects.select_related("written_by", "taken_by").get(pk=note_id)


def _may(user: AbstractUser, to_do: str) -> None:
    if not user.has_perm("approvals.decide_proposal"):
        raise NotAllowedError(
            f"{user.get_username()} may not {to_do} (needs approvals.decide_proposal)"
        )
