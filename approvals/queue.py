"""What the queue shows, in which order. Waiting first; within a group the most urgent on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from django.contrib.auth.models import AbstractUser
from django.db.models import QuerySet
from django.utils import timezone

from approvals.cards import ENDED, NEEDS_YOU, UNDER_WAY, WAITS, Card, card_for
from approvals.models import Proposal
from approvals.selectors import proposals
from approvals.states import OPEN_STATES

MOST_OPEN: Final = 300
"""Rows drawn; more would be a flood that no list helps with. The page says when it is cut."""

ENDED_SHOWN: Final = 15
SOON_S: Final = 120.0
SEVERITIES: Final = ("critical", "high", "medium", "low")

HEAVY: Final = ("prediction", "steps", "case", "citations", "preconditions")
"""Columns that only an open card needs."""


class Group(NamedTuple):
    """One heading of the queue with its cards, most urgent first."""

    name: str
    title: str
    hint: str
    empty: str
    cards: list[Card]


GROUPS: Final = (
    (NEEDS_YOU, "Needs you", "your word counts", "Nothing waits for you."),
    (WAITS, "Waits for others", "somebody else has to sign", "Nothing waits for anybody else."),
    (UNDER_WAY, "Under way", "signed, written, measured", "Nothing is being carried out."),
    (ENDED, "Ended", "latest first", "Nothing has ended yet."),
)


def urgency(card: Card) -> tuple[float, ...]:
    """Sort key: what runs out within two minutes, then the alarm's severity, then the time left.

    Ended ones: latest first.
    """
    if card.group == ENDED:
        return (-card.proposal.state_changed_at.timestamp(),)
    left = (card.ends_at - timezone.now()).total_seconds() if card.ends_at else float("inf")
    severity = SEVERITIES.index(card.severity) if card.severity in SEVERITIES else len(SEVERITIES)
    return (0.0 if left < SOON_S else 1.0, float(severity), left, -float(card.proposal.pk))


def open_rows() -> QuerySet[Proposal]:
    """Every open proposal without its heavy columns, soonest expiry first."""
    found = proposals().filter(state__in=OPEN_STATES).defer(*HEAVY)
    return found.order_by("expires_at", "pk")[: MOST_OPEN + 1]


def ended_rows() -> QuerySet[Proposal]:
    """The latest that ended."""
    found = proposals().exclude(state__in=OPEN_STATES).defer(*HEAVY)
    return found.order_by("-state_changed_at")[:ENDED_SHOWN]


def queue_groups(*, user: AbstractUser) -> tuple[list[Group], bool]:
    """The four groups, and whether there are more open ones than shown. A fixed number of queries."""
    waiting = list(open_rows())
    cards = [card_for(proposal=p, user=user) for p in (*waiting[:MOST_OPEN], *ended_rows())]
    groups = [
        Group(name, title, hint, empty, _sorted(cards, name)) for name, title, hint, empty in GROUPS
    ]
    return groups, len(waiting) > MOST_OPEN


def _sorted(cards: Sequence[Card], group: str) -> list[Card]:
    return sorted((card for card in cards if card.group == group), key=urgency)
