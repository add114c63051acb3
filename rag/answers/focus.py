"""What a question is about to learn: its focus (pure functions).

In `which refrigerant is in chiller-1` it is the refrigerant, in `warranty period of the fans` the
warranty period. A passage that does not speak of the focus does not answer, however much it says of
chillers and fans.
"""

import re

from rag.answers.sentences import content_words

_NOT_A_NOUN = (
    r"(?!(?:is|are|was|were|do|does|did|to|can|could|should|shall|must|may|if|of|the|a|an|i|we|you"
    r"|happens?|about|else|now|next)\b)"
)
_ENDS = (
    r"(?=(?:is|are|was|were|do|does|did|of|for|in|has|have|can|may|must|should|to|at|on|from|the|a"
    r"|an|with|when|per|by|\w+s)\b|$)"
)
_PATTERNS = (
    re.compile(
        r"\b(?:which|what)\s+(?:type|kind|sort|make|model|brand|name)s?\s+of\s+"
        r"(?P<focus>(?:[\w-]+\s+){1,2})",
        re.IGNORECASE,
    ),
    re.compile(
        rf"\b(?:which|what|how many|how much|whose)\s+(?P<focus>{_NOT_A_NOUN}(?:[\w-]+\s+){{1,3}}?)"
        rf"{_ENDS}",
        re.IGNORECASE,
    ),
    re.compile(
        r"^(?:what(?:'s|\s+is|\s+are)\s+)?(?:the\s+)?"
        r"(?P<focus>(?:(?!(?:what|which|how|when|where|who|why|is|are|do|does|can|may|must)\b)[\w-]+"
        r"\s+){1,4}?)(?:of|for|between)\s",
        re.IGNORECASE,
    ),
)
# Words that name the kind of answer wanted rather than something that a passage would say.
_KINDS = frozenset(
    content_words(
        "percent degrees value number amount difference dozens minutes seconds hours days file "
        "thing order time way list kind type sort"
    )
)


def focus(question: str) -> list[str]:
    """The content words of what is asked for; empty where no form is recognised."""
    for pattern in _PATTERNS:
        if match := pattern.search(f"{question.strip(' ?!.')} "):
            found = [word for word in content_words(match["focus"]) if word not in _KINDS]
            if found:
                return found
    return []


def focus_share(question: str, texts: list[str]) -> float:
    """The largest share of the focus that one of the texts has; 1 where there is no focus."""
    wanted = set(focus(question))
    if not wanted:
        return 1.0
    return max(
        (len(wanted & set(content_words(text))) / len(wanted) for text in texts), default=0.0
    )
