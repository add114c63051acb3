"""Golden questions: every form of file, what they resolve to, and the sets of this repository."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.access import Reader
from rag.evaluation.golden import Golden, GoldenInvalid, Target, load
from rag.evaluation.resolving import Judged, Library, Wanted, plain, resolve
from rag.intake.importing import document_import
from rag.intake.sources import iter_files
from rag.models import Collection, Revision, RevisionState

ROOM = Path(__file__).parent.parent
SETS = sorted((ROOM / "evaluation" / "golden").glob("*.yaml"))
MANUALS = ROOM.parent.parent / "shared" / "data" / "manuals"
EVERYTHING = Reader(sees_all=True)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("g.yaml", "queries:\n- {query: 'x?', relevant: ['a#1']}\n", ("a", 1)),
        ("g.yaml", "questions:\n- {question: 'x?', expected: a#1}\n", ("a", 1)),
        ("g.json", '[{"query": "x?", "relevant": "a#1"}]', ("a", 1)),
        ("g.json", '{"x?": ["a#1"]}', ("a", 1)),
        ("g.json", '[{"question": "x?", "document": "a", "step": 1}]', ("a", 1)),
        ("g.json", '[{"query": "x?", "relevant": [{"slug": "a", "step": "1"}]}]', ("a", 1)),
        ("g.jsonl", '\n{"q": "x?", "doc": "a#1"}\n', ("a", 1)),
        ("g.csv", "question;document\nx?;a#1\n", ("a", 1)),
        ("g.tsv", "query\trelevant\nx?\ta#1\n", ("a", 1)),
        ("g.csv", "alert,runbook\nx?,alerts/a.md\n", ("alerts/a.md", None)),
        ("g.json", '[{"Query": "x?", "source": "a.pdf", "page": 7}]', ("a.pdf", None)),
    ],
)
def test_it_reads_the_forms_that_people_have(tmp_path, name, text, expected):
    (golden,) = load(written(tmp_path, name, text))
    (target,) = golden.relevant
    assert golden.query == "x?"
    assert (target.names[0], target.step) == expected
    if "page" in text:
        assert target.page == 7


def test_it_reads_several_answers_and_key_facts(tmp_path):
    path = written(
        tmp_path,
        "g.yaml",
        "- query: x?\n  relevant: [a, {document: b, contains: 'some words'}, 17]\n"
        "  key_facts: ['27 °C|27 degrees']\n  collection: c\n"
        "- {query: 'y?', answerable: false}\n",
    )
    first, second = load(path)
    assert [str(target) for target in first.relevant] == ["a", "b · “some words”", "passage 17"]
    assert first.key_facts == ("27 °C|27 degrees",)
    assert first.collection == "c"
    assert not second.is_answerable
    assert second.relevant == ()


def test_it_takes_a_csv_with_several_documents(tmp_path):
    (golden,) = load(written(tmp_path, "g.csv", 'query,relevant\n"x, y?",a#1; b\n'))
    assert golden.query == "x, y?"
    assert [str(target) for target in golden.relevant] == ["a · step 1", "b"]


def test_it_reads_a_beir_folder(tmp_path):
    written(tmp_path, "queries.jsonl", '{"_id": "q1", "text": "x?"}\n{"_id": "q2", "text": "y"}\n')
    written(tmp_path, "corpus.jsonl", '{"_id": "d1", "title": "A title", "text": "the words"}\n')
    written(tmp_path, "qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n")
    (golden,) = load(tmp_path)
    (target,) = golden.relevant
    assert golden.query == "x?"
    assert target == Target(("d1", "A title"), text="the words", gain=2)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("g.yaml", "[", "cannot be parsed"),
        ("g.yaml", "[]", "holds no questions"),
        ("g.yaml", "queries: 3", "expected a list"),
        ("g.yaml", "- {query: x}", "entry 1 .*names nothing that answers"),
        ("g.yaml", "- {relevant: x}", "entry 1 has no question"),
        ("g.yaml", "- x", "entry 1 is not a mapping"),
        ("g.yaml", "- {query: x, relevant: [{colour: red}]}", "entry 1: .*names no document"),
        ("g.yaml", "- {query: x, relevant: [{document: a, step: two}]}", "step 'two' is not a"),
        ("g.yaml", "- {query: x, relevant: a, key_facts: ['(']}", "no regular expression"),
        ("g.jsonl", '{"query": "x", "relevant": "a"}\n{', "line 2 is not JSON"),
        ("g.csv", "question\nx\n", "expected a header line"),
    ],
)
def test_it_names_the_fault_and_its_place(tmp_path, name, text, said):
    with pytest.raises(GoldenInvalid, match=said) as caught:
        load(written(tmp_path, name, text))
    assert str(caught.value).startswith(name)


def test_it_names_the_fault_of_a_folder(tmp_path):
    with pytest.raises(GoldenInvalid, match=r"queries\.jsonl and qrels"):
        load(tmp_path)
    written(tmp_path, "queries.jsonl", '{"_id": "q1", "text": "x?"}\n')
    written(tmp_path, "qrels/test.tsv", "query-id\tcorpus-id\tscore\nq9\td1\t1\n")
    with pytest.raises(GoldenInvalid, match=r"query q9 is not in queries\.jsonl"):
        load(tmp_path)


@given(
    st.dictionaries(
        st.text(max_size=12),
        st.recursive(
            st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=12),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=8), inner, max_size=3)
            ),
            max_leaves=5,
        ),
        max_size=4,
    )
)
def test_it_takes_any_entry_or_says_why_not(tmp_path_factory, entry):
    path = tmp_path_factory.mktemp("golden") / "g.json"
    path.write_text(json.dumps([entry | {"query": "x"}]), encoding="utf-8")
    try:
        assert load(path)[0].query == "x"
    except GoldenInvalid as error:
        assert "entry 1" in str(error)


def ids(judged: Judged) -> list[list[int]]:
    return [sorted(thing.passages) for thing in judged.wanted]


def target(*names: str, **fields) -> Golden:
    return Golden("x?", (Target(names, **fields),), place="entry 1")


def test_it_finds_documents_by_every_name(corpus):
    library = Library(EVERYTHING)
    wanted = [
        "eop-test-crac", "EOP-TEST-CRAC", "CRAC unit failure", "eop-crac.md", "EOP-CRAC",
        "some/where/eop-crac.md",
    ]  # fmt: skip
    found = [ids(judged) for judged in resolve([target(name) for name in wanted], library)]
    assert len(found[0][0]) == 4
    assert all(item == found[0] for item in found)


def test_it_narrows_a_document_down(corpus):
    library = Library(EVERYTHING)
    step, section, words, text, beyond = resolve(
        [
            target("eop-test-crac", step=2),
            target("eop-test-crac", section="Back-out"),
            target("gpu-xid.md", contains="fallen  off the `bus`"),
            target(text="Unrelated opening. The GPU has fallen off the bus. Drain the node and power "
                   "cycle the server. XID 79"),
            target("eop-test-crac", step=9),
        ],
        library,
    )  # fmt: skip
    assert len(step.wanted[0].passages) == 1
    assert len(section.wanted[0].passages) == 1
    assert step.wanted[0].passages != section.wanted[0].passages
    assert ids(words) == ids(text)
    assert not beyond.wanted
    assert beyond.missing == ("eop-test-crac · step 9",)


def test_it_counts_targets_that_share_a_passage_once(corpus):
    golden = Golden("x?", (Target(("eop-test-crac",)), Target(("eop-test-crac",), step=2)))
    (judged,) = resolve([golden], Library(EVERYTHING))
    assert [thing.label for thing in judged.wanted] == ["eop-test-crac · step 2"]


def test_it_does_not_find_what_the_reader_may_not_read(corpus, viewer):
    shelf = Collection.objects.get(slug="tests")
    shelf.groups.create(name="electricians")
    (judged,) = resolve([target("eop-test-crac")], Library(Reader.of(viewer)))
    assert judged.missing == ("eop-test-crac",)


def test_it_ranks_each_wanted_thing_once():
    judged = Judged(
        Golden("x?"), (Wanted("a", frozenset({1, 2})), Wanted("b", frozenset({3}), gain=2))
    )
    assert judged.ranks([9, 2, 1, 3]) == [None, 0, None, 1]
    assert judged.first([9, 2, 1, 3]) == 2
    assert judged.first([9]) is None


def test_it_compares_words_and_not_markup():
    assert plain("**Verify:** `crac-4.running` = 1") == plain("Verify: crac-4.running = 1")


# The sets of this repository


@pytest.fixture(scope="module")
def sets() -> dict[str, list[Golden]]:
    return {path.stem: load(path) for path in SETS}


def test_it_has_enough_questions_in_halves_that_do_not_overlap(sets):
    counts = {name: len(questions) for name, questions in sets.items()}
    assert counts["unanswerable.held"] == 40
    assert counts["unanswerable.tune"] >= 20
    assert sum(count for name, count in counts.items() if "unanswerable" not in name) >= 200
    for name in ("procedures", "manuals"):
        assert counts[f"{name}.held"] >= 40
        assert 0.6 < counts[f"{name}.tune"] / counts[f"{name}.held"] < 1.8
    every = Counter(golden.query.casefold() for questions in sets.values() for golden in questions)
    assert [query for query, count in every.items() if count > 1] == []


def test_it_states_key_facts_for_every_answerable_question(sets):
    for name, questions in sets.items():
        assert [q.query for q in questions if q.is_answerable and not q.key_facts] == [], name
        assert all(q.is_answerable == ("unanswerable" not in name) for q in questions)


@pytest.fixture
def unembedded(db):
    """Import a folder without embedding it: what a question refers to needs no vectors."""

    def run(folder: Path, collection: str) -> None:
        shelf = Collection.objects.create(slug=collection, name=collection)
        for file in iter_files(folder):
            document_import(
                data=file.data, source_path=file.source_path, collection=shelf, kind="manual"
            )
        Revision.objects.update(state=RevisionState.READY)

    return run


def test_it_refers_to_steps_and_passages_that_exist(sets, unembedded):
    unembedded(ROOM / "procedures", "procedures")
    library = Library(EVERYTHING)
    for name in ("procedures.tune", "procedures.held"):
        assert [j.missing for j in resolve(sets[name], library) if j.missing] == [], name


@pytest.mark.slow
def test_it_refers_to_passages_of_the_manuals_that_exist(sets, unembedded):
    if not MANUALS.is_dir():
        pytest.skip(f"the manuals are not at {MANUALS}: their golden questions were NOT checked")
    for folder in sorted(path for path in MANUALS.iterdir() if path.is_dir()):
        unembedded(folder, folder.name)
    library = Library(EVERYTHING)
    for name in ("manuals.tune", "manuals.held"):
        assert [j.missing for j in resolve(sets[name], library) if j.missing] == [], name
