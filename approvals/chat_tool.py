"""The chat tool `propose`: a person's sentence becomes a proposal that somebody else has to sign.

Only the person's own words are read here, never the model's answer or a document, and the result is
a row waiting for a signature: the chat cannot move the plant. What is missing is answered with what
the catalogue offers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from approvals.chat_wish import wish_of as match
from approvals.errors import GateError

__all__ = ["match", "register", "run"]

HELP = (
    "Say for example: propose start standby crac-4 · propose fan speed of crac-1 to 85 % · "
    "propose drain srv-11 · propose load cap of rack-1-03 at 70 %. Add “because …” to say why."
)
SHOWN: Final = 8


def run(user: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Make the proposal. Raises ToolRefused with a sentence for the person."""
    from django.urls import reverse

    from approvals.services import proposal_request
    from rag.chat.tools import ToolRefused

    kind = str(arguments["kind"])
    tags = list(arguments.get("tags") or [arguments["target"]])
    target = _target(kind, tags)
    if not kind or not target:
        raise ToolRefused(_what_there_is(kind, target))
    try:
        proposal = proposal_request(
            user=user,
            kind=kind,
            target=target,
            params=_completed(kind, {**arguments, "target": target}, tags),
            rationale=str(arguments.get("rationale") or ""),
        )
    except GateError as error:
        raise ToolRefused(f"{error.detail}{_takes(error)}") from error
    return {
        "title": proposal.title,
        "text": f"Proposal #{proposal.pk}: {proposal.title}. It waits for somebody else's "
        f"signature.{_lacking(proposal, user)}",
        "url": reverse("approvals:proposal", args=[proposal.pk]),
    }


def _target(kind: str, tags: Sequence[str]) -> str:
    """The first of the named assets that there is and that the kind acts on; else the first."""
    from approvals.catalogue import KINDS
    from facilities.models import Asset

    known = dict(Asset.objects.filter(tag__in=tags).values_list("tag", "kind"))
    fitting = [t for t in tags if t in known and (not kind or KINDS[kind].acts_on(known[t]))]
    return next(iter([*fitting, *(tag for tag in tags if tag)]), "")


def _completed(kind: str, asked: Mapping[str, Any], tags: Sequence[str]) -> dict[str, Any]:
    """The parameters with what follows from the catalogue: the only choice, the named servers, the
    procedure's revision, a work order's words.
    """
    from approvals.catalogue import KINDS
    from approvals.errors import InvalidActionError
    from approvals.situations import hall_of, situation_read

    params, target = dict(asked.get("params") or {}), str(asked["target"])
    place = hall_of(target)
    if place is None:
        return params
    chosen = KINDS[kind]
    situation = situation_read(hall=place.hall, procedures=chosen.needs_procedures)
    try:
        schema = chosen.schema(target, situation)
    except (KeyError, InvalidActionError):
        return params  # `proposal_request` says why
    for name, one in schema["properties"].items():
        if name in params:
            continue
        options = one.get("items", one).get("enum", [])
        if one["type"] == "array" and (named := [tag for tag in tags if tag in options]):
            params[name] = named
        elif one["type"] == "string" and len(options) == 1:
            params[name] = options[0]
        elif "x-values" in one and params.get("document") in one["x-values"]:
            params[name] = one["x-values"][params["document"]]
        elif name == "text" and kind == "open_work_order":
            params[name] = str(asked.get("rationale") or "")[:2000]
    return params


def _what_there_is(kind: str, target: str) -> str:
    """What could be meant, from the catalogue."""
    from approvals.selectors import action_list

    if not kind:
        text = "I could not tell which action you want to propose."
        if not target:
            return f"{text} {HELP}"
        offered = [a["title"].lower() for a in action_list(target=target) if a["targets"]]
        return f"{text} On {target} there is: {'; '.join(offered) or 'nothing'}. {HELP}"
    [action] = action_list(kind=kind)
    tags = [one["tag"] for one in action["targets"]]
    more = f" and {len(tags) - SHOWN} more" if len(tags) > SHOWN else ""
    return (
        f"I could not tell on which equipment you want to propose it. {action['title']} is possible "
        f"on: {', '.join(tags[:SHOWN]) or 'nothing here'}{more}. {HELP}"
    )


def _takes(error: GateError) -> str:
    """The limits of the parameters, where the refusal is about them."""
    parts = []
    for name, one in error.extra.get("schema", {}).get("properties", {}).items():
        if "minimum" in one and "maximum" in one:
            unit = {"Cel": "°C"}.get(one.get("x-unit", ""), one.get("x-unit", ""))
            parts.append(f"{name} from {one['minimum']:g} to {one['maximum']:g} {unit}".strip())
        elif options := one.get("items", one).get("enum"):
            parts.append(f"{name} is one of {', '.join(str(o) for o in options[:SHOWN])}")
    return f". It takes {'; '.join(parts)}." if parts else ""


def _lacking(proposal: Any, user: Any) -> str:
    """Who would have to sign, where nobody is left to."""
    from approvals.policy.requirement import Requirement
    from approvals.policy.staffing import shortages

    found = shortages(
        requirement=Requirement.from_dict(proposal.requirement),
        risk=proposal.risk,
        steps=proposal.steps,
        without=[user.pk],
    )
    return "".join(f" But {one.text}" for one in found)


def register() -> None:
    """Add the tool to the chat's registry."""
    from approvals.catalogue import KINDS
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
                    "kind": {"enum": [k.name for k in KINDS.values() if not k.is_internal]},
                    "target": {"type": "string"},
                    "params": {"type": "object"},
                    "rationale": {"type": "string"},
                },
            },
        )
    )
