"""Words that frame a question and name nothing: `may I`, `how long`, `do I need`.

PostgreSQL's stop words leave them in. A procedure rarely contains them, so by their IDF they look like
the most telling words of the question, and a passage that happens to say `long` or `take` gains.
They count a fifth (docs/adr/0005-hybrid-retrieval.md has what that gains).
"""

import re
from collections.abc import Sequence

WEAK = 0.2

_WORD = re.compile(r"[a-z0-9]+")
_FRAMING_WORDS = """
may must shall might could would many much take takes need needs needed happen happens mean means
meant tell tells know want wants let say says
"""
_FRAMING = frozenset(_FRAMING_WORDS.split())
_MEASURES = "long many much often high low far quickly fast soon big large old"
_AFTER_HOW = frozenset(_MEASURES.split())


def weak_places(words: Sequence[str]) -> frozenset[int]:
    """The places of the framing words among a question's lower-case words."""
    return frozenset(
        place
        for place, word in enumerate(words)
        if word in _FRAMING or (word in _AFTER_HOW and place and words[place - 1] == "how")
    )


def weak_words(question: str) -> frozenset[str]:
    """The question's words, lower-case, that frame it wherever they stand in it."""
    words = _WORD.findall(question.lower())
    weak = weak_places(words)
    strong = {word for place, word in enumerate(words) if place not in weak}
    return frozenset(words[place] for place in weak) - strong
