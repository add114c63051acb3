"""What people can be told of. The names are stable: rules and webhook receivers hold them."""

from __future__ import annotations

from typing import Final, NamedTuple


class Event(NamedTuple):
    """One kind of news. `tone` colours it; `hint` says on the rules page when it comes."""

    name: str
    label: str
    tone: str
    hint: str


_ALL = (
    Event("proposal.pending", "Waits for a signature", "info", "a new proposal or revision"),
    Event(
        "proposal.signed_once", "Signed once, more needed", "info", "another signature is missing"
    ),
    Event("proposal.expiring", "Expires soon", "high", "nobody has decided and the time runs out"),
    Event("proposal.approved", "Approved", "info", "the last signature was given"),
    Event("proposal.returned", "Came back", "high", "the world changed before the first write"),
    Event("execution.failed", "Execution failed", "critical", "a write failed or was stopped"),
    Event("execution.unknown", "Outcome unknown", "critical", "a write was not answered"),
    Event("execution.holding", "Holds for a person", "info", "a procedure waits at a hold point"),
    Event("effect.no_effect", "No effect", "high", "the promised effect was not measured"),
    Event(
        "break_glass.used", "Break-glass used", "critical", "an emergency approval by one person"
    ),
    Event("break_glass.overdue", "Review overdue", "critical", "a break-glass review is missing"),
    Event("gate.held", "Gate stopped", "critical", "somebody stopped every execution"),
    Event("drill.revealed", "Drill revealed", "info", "a planted proposal was decided or ran out"),
)
EVENTS: Final[dict[str, Event]] = {event.name: event for event in _ALL}

TEST: Final = "test"
"""A message that somebody sent to see whether it arrives; no rule asks for it."""

USUAL: Final = (
    "proposal.pending",
    "proposal.expiring",
    "proposal.returned",
    "execution.failed",
    "execution.unknown",
    "execution.holding",
    "gate.held",
)
"""What the form of a new rule has ticked."""
