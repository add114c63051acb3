"""How sure a search is, and what it does not know."""

import pytest

from rag.codes import codes, mentions
from rag.retrieval.confidence import unknown_codes
from rag.retrieval.search import search


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        ("xid-74", "XID 63, 64 and 74 mean memory", True),
        ("xid-93", "XID 63, 64 and 74 mean memory", False),
        ("srv-5", "drain srv-01 to srv-16", True),
        ("srv-20", "drain srv-01 to srv-16", False),
        ("crac-7", "crac-1 to crac-4 at 7 °C", False),
        ("crac-2", "`crac-2.fault` is 1", True),
        ("ups-a", "UPS A and UPS B", True),
    ],
)
def test_it_knows_a_code_in_lists_and_ranges(code, text, expected):
    assert mentions(code, text) is expected


def test_it_takes_no_pronoun_for_a_code():
    assert codes("what do I check, and may I lift PDU I") == ["pdu-i"]


@pytest.mark.django_db
def test_it_names_unknown_codes():
    assert unknown_codes(("xid-93", "xid-74", "ups-a"), ["XID 74"]) == ["xid-93"]


@pytest.mark.parametrize("question", ["How do I start the standby CRAC?", "what does XID 79 mean"])
def test_it_is_sure_of_what_the_documents_say(corpus, engine, question):
    assert search(query=question).confidence > 0.5


@pytest.mark.parametrize(
    "question", ["what does XID 93 mean", "who won the football match", "price of a new chair"]
)
def test_it_is_not_sure_of_what_they_do_not_say(corpus, engine, question):
    result = search(query=question)
    assert result.confidence < 0.5
    assert not result.is_confident


def test_it_judges_by_words_alone_without_an_embedding_server(corpus, no_engine):
    assert search(query="standby CRAC start").confidence > 0.5
    assert search(query="price of a new chair").confidence < 0.5
    assert search(query="qwertzuiop").confidence == 0.0
