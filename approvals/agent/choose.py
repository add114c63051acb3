"""Asks the language model to pick among enumerated candidates.

It can only answer with one of their labels.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from approvals.agent.rank import NOTHING, Candidate
from approvals.agent.support import name_step

NONE = NOTHING
MAX_OPTIONS = 8

SYSTEM_PROMPT = (
    "You assist the shift of a data centre. An alarm is on. Pick the one option that removes its "
    "cause or restores "
    "what was lost, with the least intervention. Prefer options with a procedure step. "
    f'Answer "{NONE}" if no option fits. Answer in JSON.'
)


class Choice(NamedTuple):
    """The model's vote: a label or `none`; `error` says why there is no vote (then `label` is
    empty).
    """

    label: str
    raw: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    error: str


def choice_schema(labels: list[str]) -> dict[str, Any]:
    """Schema that admits exactly one of the labels or `none`."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["choice"],
        "properties": {"choice": {"type": "string", "enum": [*labels, NONE]}},
    }


def prompt_messages(*, facts: list[str], candidates: list[Candidate]) -> list[dict[str, str]]:
    """Chat messages: the facts, then one line per option."""
    lines = ["Facts:", *(f"- {fact}" for fact in facts), "", "Options:"]
    for candidate in candidates:
        cited = candidate.support.citation
        step = f"procedure {name_step(cited)}" if cited else "no procedure step"
        lines.append(
            f"{candidate.label}: {candidate.title}; {_brings(candidate)}{candidate.risk} risk; {step}"
        )
    lines += [f"{NONE}: do nothing", "", 'Which option? Answer {"choice": "<label>"}.']
    return [
        {"role": "system", "content": SYSTEM_PROMPT},
        {"role": "user", "content": "\n".join(lines)},
    ]


def _brings(candidate: Candidate) -> str:
    parts = []
    if candidate.against:
        parts.append(f"against: {candidate.against}")
    if candidate.expectation.relief_w > 0:
        parts.append(f"frees about {candidate.expectation.relief_w / 1000:.0f} kW")
    return "".join(f"{part}; " for part in parts)


def choose(*, facts: list[str], candidates: list[Candidate]) -> Choice:
    """The model's vote.

    Never raises for a model that is down or answers nonsense: it says so in `error`.
    """
    from kvserve.client import LLMRefused, LLMUnavailable
    from rag.llm import llm_client

    labels = [c.label for c in candidates]
    try:
        answer = llm_client().chat(
            prompt_messages(facts=facts, candidates=candidates),
            max_tokens=24,
            json_schema=choice_schema(labels),
        )
    except (LLMUnavailable, LLMRefused) as error:
        return Choice("", "", "", 0, 0, str(error))
    label, problem = parse_choice(answer.text, labels)
    return Choice(
        label, answer.text, answer.model, answer.prompt_tokens, answer.completion_tokens, problem
    )


def parse_choice(text: str, labels: list[str]) -> tuple[str, str]:
    """(label, "") from the model's JSON, or ("", what is wrong with it)."""
    try:
        label = json.loads(text)["choice"]
    except (ValueError, KeyError, TypeError):
        return "", f"the model's answer is not the JSON that was asked for: {text[:80]!r}"
    if label != NONE and label not in labels:
        return "", f"the model chose {label!r}, which was not offered"
    return label, ""
