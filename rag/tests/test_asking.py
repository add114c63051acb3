"""Words that frame a question, and how texts become stems."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.retrieval.asking import WEAK, weak_words
from rag.retrieval.expansion import expanded
from rag.retrieval.features import features
from rag.retrieval.fusion import fuse, observing
from rag.retrieval.stems import words_of
from rag.tests.test_fusion import candidate


@pytest.mark.parametrize(
    ("question", "weak"),
    [
        ("how long may the pump run", {"long", "may"}),
        ("the long pipe", set()),
        ("How many pumps are needed?", {"many", "needed"}),
        ("how hot is it", set()),
        ("how long is the long pipe", set()),  # once it names something
    ],
)
def test_it_knows_the_words_that_only_ask(question, weak):
    assert weak_words(question) == weak
    typed = {term.word.lower().strip("?"): term.weight for term in expanded(question).terms}
    assert {word for word, weight in typed.items() if weight == WEAK} == weak


def test_it_ranks_what_is_asked_about_before_words_that_ask():
    about = candidate(1, 0.5, 3.0, text="The damper opens within five seconds of the command.")
    asking = candidate(2, 0.5, 3.0, text="A long walk; it may take a while and many look on.")
    idf = {"damper": 2.0}  # the others are unknown, so the rarest
    asked = expanded("how long may the damper take to open")
    assert [item.passage_id for item in fuse([asking, about], asked, idf=idf)] == [1, 2]


@given(st.text(max_size=60))
def test_it_parts_words_as_the_pattern_does(text):
    assert words_of(text) == re.findall(r"[a-z0-9]+", text.lower())


def test_it_shows_what_fusion_was_asked_to_order():
    seen = []
    asked, found = expanded("fan belt"), [candidate(1, 0.5, 1.0), candidate(2, 0.1, 2.0)]
    with observing(lambda candidates, query, idf: seen.append((candidates, query, idf))):
        fuse(found, asked, idf={"fan": 1.0})
    fuse(found, asked)
    [(candidates, query, idf)] = seen
    assert (candidates, query, idf) == (found, asked, {"fan": 1.0})
    assert features(candidates, query, idf).shape[0] == 2
