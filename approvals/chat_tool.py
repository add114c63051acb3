"""The chat tool `propose`: a person's sentence becomes a proposal that somebody else has to sign.

Only the person's own words are read here, never the model's answer or a document, and the result is
a row waiting for a signature: the chat cannot move the plant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from approvals.errors import GateError

COMMAND = re.compile(r"^\s*(?:please\s+|/)?propose\b[\s:]*(?P<rest>.*)$", re.IGNORECASE | re.DOTALL)
TARGET = re.compile(r"\b(?P<tag>crac[\s-]?\d+|rack[\s-]\d+-\d+)\b", re.IGNORECASE)
NUMBER = re.compile(r"(?:\bto|\bat|=)\s*(?P<value>\d+(?:[.,]\d+)?)", re.IGNORECASE)
REASON = re.compile(r"\b(?:because|since|reason:)\s+(?P<reason>.+)$", re.IGNORECASE | re.DOTALL)

# Kind, words that name it (each group: any of), parameter that the number fills.
PATTERNS: tuple[tuple[str, tuple[tuple[str, ...], ...], str], ...] = (
    ("start_standby_crac", (("start",), ("crac",)), ""),
    ("set_fan_speed", (("fan",),), "fan_speed_pct"),
    ("set_supply_setpoint", (("supply", "setpoint"),), "supply_c"),
    ("shed_rack_load", (("shed", "cap", "load"),), "load_cap_pct"),
)
HELP = (
    "Say for example: propose start standby crac-4 · propose fan speed of crac-1 to 85 % · "
    "propose supply setpoint of crac-3 to 16 °C · propose load cap of rack-1-03 at 70 %. "
    "Add “because …” to say why."
)


def match(question: str) -> Mapping[str, Any] | None:
    """Arguments when the question begins with “propose”; unknown parts stay empty and are refused
    by `run`.
    """
    command = COMMAND.match(question)
    if command is None:
        return None
    rest = command["rest"]
    reason = REASON.search(rest)
    wish = rest[: reason.start()] if reason else rest
    target = TARGET.search(wish)
    low = wish.lower()
    kind, parameter = next(
        ((k, p) for k, groups, p in PATTERNS if all(any(w in low for w in g) for g in groups)),
        ("", ""),
    )
    number = NUMBER.search(wish)
    params = {parameter: float(number["value"].replace(",", "."))} if parameter and number else {}
    return {
        "kind": kind,
        "target": re.sub(r"\s", "-", target["tag"].lower()) if target else "",
        "params": params,
        "rationale": reason["reason"].strip()
        if reason
        else f"Asked for in the chat: {question.strip()[:500]}",
    }


def run(user: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Make the proposal. Raises ToolRefused with a sentence for the person."""
    from django.urls import reverse

    from approvals.services import proposal_request
    from rag.chat.tools import ToolRefused

    if not arguments["kind"] or not arguments["target"]:
        missing = "which action" if not arguments["kind"] else "on which equipment"
        raise ToolRefused(f"I could not tell {missing} you want to propose. {HELP}")
    try:
        proposal = proposal_request(user=user, **arguments)
    except GateError as error:
        raise ToolRefused(error.detail) from error
    return {
        "title": proposal.title,
        "text": f"Proposal #{proposal.pk}: {proposal.title}. It waits for somebody else's "
        "signature.",
        "url": reverse("approvals:proposal", args=[proposal.pk]),
    }


def register() -> None:
    """Add the tool to the chat's registry."""
    from rag.chat import tools as chat_tools

    chat_tools.register(
        chat_tools.ChatTool(
            name="propose",
            description="Propose an action of the catalogue; somebody else has to sign it.",
            permission="approvals.add_proposal",
            match=match,
            run=run,
            schema={
                "type": "object",
                "required": ["kind", "target"],
                "properties": {
                    "kind": {"enum": [kind for kind, _, _ in PATTERNS]},
                    "target": {"type": "string"},
                    "params": {"type": "object"},
                    "rationale": {"type": "string"},
                },
            },
        )
    )
