"""How sure is it that the passages found answer the question? A calibrated probability.

Six signs of one search, none of which knows a document, in a logistic model that
`manage.py learn_answers` learns on the tune halves of the golden sets (docs/answers.md).
"""

import math
from dataclasses import dataclass
from statistics import mean

from rag.answers.focus import focus_share
from rag.answers.sentences import content_words
from rag.answers.weights import Answerable, weights
from rag.retrieval.search import SearchResult

# Nine of ten of the first 40 unanswerable tune questions are declined from 0.35 to 0.48; the 78 harder
# ones that came later want 0.6 (docs/answers.md).
ANSWERABLE = 0.4
# From here on the closest text is shown below the statement that the documents do not answer.
NEAR = 0.15

BEST_HITS = 3
COMPARED_HITS = 5
LONG_QUESTION = 8
_MOST_CONFIDENT = 0.995


@dataclass(frozen=True)
class Signs:
    """What a search says about its question.

    `confidence` is retrieval's own, as log odds (-5.3…5.3); `margin` how much more similar the best
    passage is than those from the fourth on (cosine, -2…2); `agreement` the share of the
    best five that are of the best one's document; `length` the question's content words, 1 from eight
    on; `unknown` the share of its words that no document in scope has; `focus` see
    `rag.answers.focus`. The last four are 0…1.
    """

    confidence: float
    margin: float
    agreement: float
    length: float
    unknown: float
    focus: float


def signs(question: str, result: SearchResult) -> Signs:
    """The signs of a question and what was found for it, best first."""
    hits = result.hits
    sure = min(max(result.confidence, 1 - _MOST_CONFIDENT), _MOST_CONFIDENT)
    similar = [hit.similarity or 0.0 for hit in hits]
    # Words of the question itself weigh 1 and more, what expansion adds weighs less.
    own = [term for term in result.explanation.terms if term.weight >= 1]
    texts = [f"{hit.title}\n{hit.section}\n{hit.text}" for hit in hits[:BEST_HITS]]
    best = [hit.document == hits[0].document for hit in hits[:COMPARED_HITS]]
    return Signs(
        confidence=math.log(sure / (1 - sure)),
        margin=similar[0] - mean(similar[BEST_HITS:]) if len(similar) > BEST_HITS else 0.0,
        agreement=sum(best) / COMPARED_HITS,
        length=min(len(set(content_words(question))), LONG_QUESTION) / LONG_QUESTION,
        unknown=sum(term.df == 0 for term in own) / (len(own) or 1),
        focus=focus_share(question, texts),
    )


def probability(found: Signs, learned: Answerable | None = None) -> float:
    """How sure it is that the documents answer, 0…1, by the shipped weights or the given ones."""
    model = learned or weights().answerable
    odds = (
        model.intercept
        + model.confidence * found.confidence
        + model.margin * found.margin
        + model.agreement * found.agreement
        + model.length * found.length
        + model.unknown * found.unknown
        + model.focus * found.focus
    )
    return 1 / (1 + math.exp(-odds))


def answerable(question: str, result: SearchResult) -> float:
    """How sure it is that what was found answers the question; 0 where nothing was found."""
    return probability(signs(question, result)) if result.hits else 0.0
