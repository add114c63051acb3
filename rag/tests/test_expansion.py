"""What a question is searched as."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.retrieval.equipment import Equipment, facility_equipment, forget
from rag.retrieval.expansion import MAX_ADDED, expand, expanded
from rag.retrieval.search import search
from rag.retrieval.stems import content_stems, stem
from rag.retrieval.synonyms import Synonyms, SynonymsInvalid, field_synonyms

EQUIPMENT = Equipment.of(
    [
        ("chwp-1", "Chilled water pump 1", "pump"),
        ("chwp-2", "Chilled water pump 2", "pump"),
        ("srv-01", "Server 01", "server"),
        ("ups-a", "UPS A", "ups"),
    ]
)
WORDS = {"setpoint": 4, "generat": 9, "filter": 3, "valv": 2, "pump": 8, "raised": 1, "floor": 1}


def added(question: str) -> dict[str, float]:
    query = expanded(question, equipment=lambda: EQUIPMENT, vocabulary=lambda: WORDS)
    return {term.word: term.weight for term in query.terms if term.source != "query"}


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("mains failed", "utility"),
        ("genset is silent", "generator"),
        ("swap the accelerator", "gpu"),
        ("delta p of the coil", "dp"),
        ("CRAH stopped", "crac"),
        ("mcb opened", "breaker"),
        ("chwp-1 stopped", "chilled"),
        ("chilled water pump 1 stopped", "chwp"),
        ("set point of the coil", "setpoint"),
        ("two doors", "2"),
        ("genrator is silent", "generat"),
    ],
)
def test_it_adds_other_words_that_weigh_less(question, word):
    assert 0 < added(question)[word] < 1


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("what comes up at noon", "ups"),  # stems of `up`, `at` are those of UPS and ATS
        ("what comes up at noon", "uninterruptible"),
        ("filter of the pump", "filter"),  # typed, so not added
        ("valve", "valv"),
        ("pressure of pump-2", "two"),  # part of a code, no quantity
        ("xylophone", "generat"),
    ],
)
def test_it_adds_nothing_wrong(question, word):
    assert word not in added(question)


def test_it_says_what_it_added_and_keeps_what_was_typed():
    query = expanded("genrator of ups-a", equipment=lambda: EQUIPMENT, vocabulary=lambda: WORDS)
    assert any(sentence.startswith("genrator → spelling: generat") for sentence in query.added)
    assert [term.word for term in query.terms if term.source == "query"] == [
        "genrator",
        "of",
        "ups-a",
    ]
    assert query.codes == ("ups-a",)
    assert query.embed_text == "genrator of ups-a generat"


@given(st.text(max_size=200))
def test_it_takes_any_text(question):
    query = expanded(question, equipment=lambda: EQUIPMENT, vocabulary=lambda: WORDS)
    assert all(0 < term.weight <= 1 for term in query.terms)
    assert len([term for term in query.terms if term.source != "query"]) <= MAX_ADDED


def test_it_names_the_group_that_is_wrong():
    with pytest.raises(SynonymsInvalid, match=r"group 2: weight 1\.5"):
        Synonyms([{"same": ["a1", "b1"]}, {"same": ["c1", "d1"], "weight": 1.5}])
    with pytest.raises(SynonymsInvalid, match="group 1: expected `same`"):
        Synonyms([{"from": ["a1"]}])
    with pytest.raises(SynonymsInvalid, match="'a b c d e' has not 1 to 4 words"):
        Synonyms([{"same": ["a b c d e", "f1"]}])


def test_it_reads_its_own_list_and_goes_one_way_only_where_told():
    synonyms = field_synonyms()
    [match] = synonyms.matches(content_stems("flooding"))
    assert "leak" in {synonym.phrase for synonym in match.synonyms}
    [match] = synonyms.matches([stem("leak")])
    assert "flood" not in {synonym.phrase for synonym in match.synonyms}


@pytest.mark.django_db
def test_it_knows_the_facility(facility_names):
    assert "pump" in " ".join(facility_equipment().names_of("chwp-1"))
    assert "chwp-1" in facility_equipment().codes
    assert any(term.word == "chwp" for term in expand("chilled water pump 1").terms)


@pytest.fixture
def facility_names(db):
    from facilities.models import Asset, Site

    site = Site.objects.create(slug="site", name="Site")
    Asset.objects.create(tag="chwp-1", name="Chilled water pump 1", kind="pump", site=site)
    forget()
    yield
    forget()


def test_it_finds_what_is_called_otherwise(import_text, no_engine):
    import_text("power.md", "# Power\n\n## Utility lost\n\nThe utility feed has failed.\n")
    import_text("water.md", "# Water\n\n## Pipe\n\nA pipe has failed in the hall.\n")
    result = search(query="mains", k=2)
    assert [hit.document for hit in result.hits] == ["power"]
    assert any(
        sentence.startswith("mains → synonym: utility") for sentence in result.explanation.added
    )
