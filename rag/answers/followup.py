"""A follow-up question written out, so that retrieval and the reader know what it asks.

Deterministic rules over the conversation's last turns (pure functions). What is added comes from
the user's own earlier questions, except for the document and step of the procedure that was just
shown (`next step`) and the names that were offered for choosing (`the second one`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rag.answers.sentences import content_words
from rag.codes import codes

MAX_TURNS = 8
MAX_CHARS = 1000
_SHORT = 3

_ORDINALS = {
    "first": 0, "second": 1, "third": 2, "fourth": 3, "fifth": 4, "1st": 0, "2nd": 1, "3rd": 2,
    "4th": 3, "5th": 4, "last": -1, "latter": -1, "former": 0, "other": 0,
}  # fmt: skip
_NEXT = re.compile(
    r"^(?:(?:and|ok(?:ay)?|so|done|then)\b[\s,.]*)*(?:what(?:'s| is| comes| do i do)?\s+)?(?:the\s+)?"
    r"(?:next(?:\s+(?:step|one))?|and then|then|after that|what now|continue|go on)\W*$"
    r"|\b(?:next|following)\s+step\b|\bstep after (?:that|this)\b",
    re.IGNORECASE,
)
_PREVIOUS = re.compile(
    r"\b(?:previous|last|preceding)\s+step\b|\bstep before (?:that|this)\b|^\W*(?:go\s+)?back\W*$",
    re.IGNORECASE,
)
_STEP = re.compile(r"\bstep\s+(?:no\.?\s*|number\s+)?(\d{1,3})\b", re.IGNORECASE)
_CHOICE = re.compile(
    rf"^\W*(?:and\s+)?(?:what\s+about\s+)?(?:the\s+)?(?P<word>{'|'.join(_ORDINALS)})"
    r"(?:\s+(?:one|procedure|document|option))?\W*$",
    re.IGNORECASE,
)
_BARE = re.compile(
    r"^\W*(?:and\s+|but\s+|so\s+|ok(?:ay)?\W+)*(?P<ask>why(?:\s+not)?|how|how long|how much|how many|how often"
    r"|how hot|how high|when|where|who|which|what|really|are you sure|what else|what if not"
    r"|and if not|if not|else|how so|why is that|why that|in what order|says who|which one|which ones)"
    r"(?:\s+(?:is|was|does|do)?\s*(?:that|it|this|so))?\W*$",
    re.IGNORECASE,
)
_AND_FOR = re.compile(
    r"^\W*(?:and|but|or|also|what about|how about|and what about|same for|what of)\b"
    r"(?:\s+(?:what about|how about|for|on|in|at|with|of|to|the same for|if it is|if it's|if))?\s+"
    r"(?P<rest>.+?)\W*$",
    re.IGNORECASE,
)
_PRONOUN = re.compile(
    r"\b(?:it|its|that|this|these|those|they|them|their|he|she|there|then|the same|such|one)\b",
    re.IGNORECASE,
)
_DEMONSTRATIVE = re.compile(
    r"\b(?P<det>this|that|these|those|the|its|their)\s+(?P<noun>step|procedure|unit|alarm|document"
    r"|error|pump|limit|value|test|check|warning|section|command|runbook|sop|mop|eop)s?\b",
    re.IGNORECASE,
)
_HYPHENS = re.compile(r"\b[A-Z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)+\b")
_CAUSE_THAT = re.compile(
    r"\b(?:so|such|now|given|in case|know|sure|mean|say|says|verify|check) that\b", re.I
)
_IS_WHOLE = re.compile(
    r"^\W*(?:what|which|how|when|where|who|why|can|may|must|should|do|does|is|are)\b", re.I
)


@dataclass(frozen=True)
class FollowUp:
    """`text` stands alone; equal to the question where it did already. `is_users_own` is False
    where words of an answer (a document's name, an offered title) were put in."""

    text: str
    is_users_own: bool = True
    rule: str = ""


@dataclass(frozen=True)
class _Past:
    """What the last turn was about."""

    question: str
    document: str
    step: int | None
    last_step: int | None
    offered: tuple[str, ...]


def standalone(question: str, history: Sequence[Mapping[str, Any]]) -> FollowUp:
    """The question with what it refers to written out. Never longer than 1,000 characters."""
    past = _past(history[-MAX_TURNS:])
    if past is None:
        return FollowUp(question)
    for rule in (_choose, _neighbour_step, _named_step, _ask_again, _exchange, _refer):
        found = rule(question, past)
        if found is not None:
            return FollowUp(found.text[:MAX_CHARS], found.is_users_own, rule.__name__[1:])
    return FollowUp(question)


def _past(history: Sequence[Mapping[str, Any]]) -> _Past | None:
    asked, answer = "", None
    for message in reversed(history):
        role = message.get("role")
        if role == "assistant" and answer is None:
            answer = message
        elif role == "user":
            asked = str((answer or {}).get("asked_as") or message.get("text") or "")
            break
    if not asked:
        return None
    answer = answer or {}
    citations = [entry for entry in answer.get("citations") or [] if entry.get("document")]
    procedure = answer.get("procedure") or {}
    document = str(procedure.get("document") or (citations[0]["document"] if citations else ""))
    step = procedure.get("current")
    if step is None and citations and citations[0]["document"] == document:
        step = citations[0].get("step")
    numbers = [int(entry["n"]) for entry in procedure.get("steps") or [] if entry.get("n")]
    details = answer.get("details") or {}
    offered = [
        entry["document"] for entry in details.get("candidates") or answer.get("candidates") or []
    ]
    if offered and document:
        offered = [document, *offered]
    elif not offered:
        offered = list(dict.fromkeys(entry["document"] for entry in citations))
    return _Past(_stem_of(asked), document, step, max(numbers, default=None), tuple(offered))


def _stem_of(asked: str) -> str:
    """What an earlier question was about; one that was written out here was about its topic."""
    topic = re.search(r" \(about: (.*)\)\W*$", asked)
    return (topic[1] if topic else asked).strip(" ?!.")


def _choose(question: str, past: _Past) -> FollowUp | None:
    match = _CHOICE.search(question)
    if match is None or len(past.offered) < 2:
        return None
    place = _ORDINALS[match["word"].lower()]
    if match["word"].lower() == "other":
        place = 1
    if place >= len(past.offered):
        return None
    return FollowUp(f"{past.question}, by {past.offered[place].upper()}", False)


def _neighbour_step(question: str, past: _Past) -> FollowUp | None:
    if not past.document or past.step is None:
        return None
    if _NEXT.search(question):
        step = past.step + 1
    elif _PREVIOUS.search(question) and not re.search(r"\blast step\b", question, re.I):
        step = max(1, past.step - 1)
    else:
        return None
    return FollowUp(f"Step {step} of {past.document.upper()}", False)


def _named_step(question: str, past: _Past) -> FollowUp | None:
    match = _STEP.search(question)
    if match is None or not past.document:
        return None
    if set(codes(question)) - {f"step-{int(match[1])}"} or _HYPHENS.search(question):
        return None
    return FollowUp(f"{question.rstrip(' ?!.')} of {past.document.upper()}?", False)


def _ask_again(question: str, past: _Past) -> FollowUp | None:
    """`why?` after `Do I start the standby first?`"""
    match = _BARE.search(question)
    if match is None:
        return None
    ask = " ".join(match["ask"].split())
    return FollowUp(f"{ask[0].upper()}{ask[1:]}? (about: {past.question})")


def _exchange(question: str, past: _Past) -> FollowUp | None:
    """`and for CRAC-3?` after `what is the limit of CRAC-2?`: the new name takes the old one's
    place."""
    match = _AND_FOR.search(question)
    if match is None:
        return None
    rest = match["rest"].strip()
    if _IS_WHOLE.search(rest) and len(content_words(rest)) > _SHORT:
        return None
    new, old = codes(rest), codes(past.question)
    if len(new) == 1 and len(content_words(rest)) <= _SHORT:
        for code in old:
            spelled = _spelling(code, past.question)
            if spelled and code.split("-")[0] == new[0].split("-")[0] and code != new[0]:
                return FollowUp(f"{past.question.replace(spelled, rest)}?")
    return FollowUp(f"{rest[0].upper()}{rest[1:]}? (about: {past.question})")


def _spelling(code: str, text: str) -> str | None:
    """How a normalised code is written in a text."""
    pattern = r"[\s\-_./]*0*".join(re.escape(run) for run in code.split("-"))
    found = re.search(rf"(?<!\w){pattern}(?!\w)", text, re.IGNORECASE)
    return found.group() if found else None


def _refer(question: str, past: _Past) -> FollowUp | None:
    """A pronoun without anything that it could mean in the question itself."""
    own = content_words(question)
    if codes(question):
        return None
    nouns = {
        match["noun"].lower()
        for match in _DEMONSTRATIVE.finditer(question)
        if match["det"].lower() != "the"
    }
    if "step" in nouns and past.step is not None:
        about = f"step {past.step} of {past.document.upper()}"
        return FollowUp(f"{question.rstrip(' ?!.')}? (about: {about})", False)
    pronoun = _PRONOUN.search(_CAUSE_THAT.sub(" ", question))
    if nouns or (pronoun and (len(own) <= _SHORT + 1 or _starts_so(question))):
        return FollowUp(f"{question.rstrip(' ?!.')}? (about: {past.question})")
    if len(own) <= 1 and _IS_WHOLE.search(question):
        return FollowUp(f"{question.rstrip(' ?!.')}? (about: {past.question})")
    return None


def _starts_so(question: str) -> bool:
    return bool(re.match(r"^\W*(?:and|but|so|then|also)\b", question, re.IGNORECASE))
