"""A follow-up question written out by a strong language model, where the rules leave room.

The model sees the user's own questions and the number of the document that was shown, no text of a
document. What it writes is used only if it adds nothing to those: no name, no number, hardly a word.
"""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rag.answers.followup import MAX_CHARS, MAX_TURNS, FollowUp, standalone
from rag.answers.sentences import content_words
from rag.codes import codes
from rag.llm import llm_client

logger = logging.getLogger(__name__)

MAX_TOKENS = 120
EARLIER = 4
# A question of more content words without a pronoun stands alone.
SHORT = 5
# New content words that a rewritten question may have.
MAY_ADD = 1
# Rules whose result is exact: a step, a choice among those offered.
EXACT = frozenset({"choose", "neighbour_step", "named_step"})
SCHEMA = {
    "type": "object",
    "properties": {"question": {"type": "string", "maxLength": MAX_CHARS}},
    "required": ["question"],
    "additionalProperties": False,
}
SYSTEM = (
    "Rewrite the operator's last question so that it can be understood without the conversation. Use "
    "the words of the questions; add no fact, name or number. If it can be understood already, repeat "
    'it unchanged. Answer as JSON: {"question": "…"}'
)
_LEANS = re.compile(
    r"\b(?:it|its|that|this|these|those|they|them|their|then|there|same|such|one|ones|other|else|again"
    r"|instead|both|either)\b|^\W*(?:and|but|so|or|why|how so|what about|how about)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")


def written_out(question: str, history: Sequence[Mapping[str, Any]], *, strong: bool) -> FollowUp:
    """The question as it stands alone: by the rules, or by a strong model where those are not
    exact. One request to the model at most; the rules' result where it fails or adds anything."""
    ruled = standalone(question, history)
    earlier = [str(m.get("text") or "") for m in history[-MAX_TURNS:] if m.get("role") == "user"]
    if not strong or not earlier or ruled.rule in EXACT:
        return ruled
    if not ruled.rule and not leans(question):
        return ruled
    shown = _shown(history)
    text = _asked(question, earlier[-EARLIER:], shown)
    if not text or not adds_nothing(text, question, [*earlier[-EARLIER:], shown]):
        return ruled
    own = adds_nothing(text, question, earlier[-EARLIER:])
    return FollowUp(text, own, "model") if text != question else FollowUp(question)


def leans(question: str) -> bool:
    """Whether a question may need the conversation to be understood."""
    return len(content_words(question)) <= SHORT or bool(_LEANS.search(question))


def adds_nothing(text: str, question: str, earlier: Sequence[str]) -> bool:
    """Whether a rewritten question keeps the question's words and has no names and numbers, and at
    most one word, that neither it nor the earlier ones have."""
    known = " \n".join([question, *earlier])
    if not text.strip() or len(text) > MAX_CHARS:
        return False
    if set(codes(text)) - set(codes(known)) or set(_NUMBER.findall(text)) - set(
        _NUMBER.findall(known)
    ):
        return False
    own, said = set(content_words(text)), set(content_words(known))
    kept = set(content_words(question)) - set(content_words("one ones same other"))
    return len(own - said) <= MAY_ADD and kept <= own


def _shown(history: Sequence[Mapping[str, Any]]) -> str:
    """Number and step of the document that the last answer quoted first; no text of it."""
    for message in reversed(history):
        if message.get("role") != "assistant":
            continue
        for cited in message.get("citations") or []:
            slug = str(cited.get("document") or "")
            if re.fullmatch(r"[a-z0-9][a-z0-9-]{0,79}", slug):
                step = cited.get("step")
                return f"{slug.upper()} step {int(step)}" if step is not None else slug.upper()
        return ""
    return ""


def _asked(question: str, earlier: Sequence[str], shown: str) -> str:
    from kvserve.client import LLMRefused, LLMUnavailable

    lines = [f"Earlier question: {text}" for text in earlier]
    if shown:
        lines.append(f"Shown last: {shown}")
    lines.append(f"Last question: {question}")
    try:
        answer = llm_client().chat(
            [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": "\n".join(lines)},
            ],
            max_tokens=MAX_TOKENS,
            json_schema=SCHEMA,
        )
        return " ".join(str(json.loads(answer.text)["question"]).split())
    except (LLMUnavailable, LLMRefused, ValueError, KeyError, TypeError) as error:
        logger.warning("the follow-up was written out by rules: %s", error)
        return ""
