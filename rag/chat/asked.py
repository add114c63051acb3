"""What a question asks, read once: equipment, quantities, time, and what kind of question it is."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from rag.chat import words
from rag.chat.names import Mentions, mentions_of
from rag.chat.when import Span, span_of

if TYPE_CHECKING:
    from facilities.selectors import Inventory


@dataclass(frozen=True)
class Asked:
    """A question as the tools see it. `words` are stems of what is not equipment."""

    text: str
    inventory: "Inventory"
    mentions: Mentions
    words: frozenset[str]
    span: Span | None
    at: datetime
    wants_documents: bool
    is_hypothesis: bool
    asks_now: bool
    asks_list: bool
    states_reading: bool

    def says(self, *phrases: str) -> bool:
        """Whether one of the words or phrases stands in the question."""
        return words.has_word(self.text, phrases)

    @property
    def is_about_equipment(self) -> bool:
        """Whether an asset is named for sure."""
        return bool(self.mentions.assets)

    @property
    def also_documents(self) -> bool:
        """Whether the question wants live data and what is written about it."""
        return self.wants_documents and self.is_about_equipment and (
            self.states_reading or self.asks_now
        )  # fmt: skip

    @property
    def may_want_documents(self) -> bool:
        """Whether what is written may be meant beside a reading: the question asks for it, speaks of
        what would be, asks twice, or describes a situation. A plain question for a reading does not."""
        if self.wants_documents or self.is_hypothesis or self.states_reading:
            return True
        if words.asks_twice(self.text):
            return True
        is_plain = self.asks_now or self.asks_list or self.span is not None
        return not is_plain and words.tells_situation(self.text)


@dataclass(frozen=True)
class Match:
    """How sure a tool is that it is meant (`SURE` and more: it is), with what arguments, and
    whether the documents are to be asked as well."""

    score: float
    arguments: dict[str, Any] = field(default_factory=dict)
    combines: bool = False


SURE = 4.0
"""Points that a tool needs to be chosen; each tool counts its own cues (assumed, tested against
`rag/tests/utterances.yaml`)."""


def read_question(text: str, *, now: datetime | None = None) -> Asked:
    """Read a question against the inventory as it is. Two queries."""
    from facilities.selectors import inventory

    known = inventory()
    moment = now or timezone.now()
    found = mentions_of(text, known)
    return Asked(
        text=text,
        inventory=known,
        mentions=found,
        words=words.stems(found.rest),
        span=span_of(text, now=moment, zone=known.timezone),
        at=moment,
        wants_documents=words.wants_documents(text),
        is_hypothesis=words.is_hypothesis(text),
        asks_now=words.asks_now(text),
        asks_list=words.asks_list(text),
        states_reading=words.states_reading(text),
    )
