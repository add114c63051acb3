"""How the two legs and other evidence become one score."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.retrieval.candidates import Candidate, Details
from rag.retrieval.expansion import expanded
from rag.retrieval.features import DEFAULT_WEIGHTS, NAMES, features, weights_array
from rag.retrieval.fusion import DEFAULT_METHOD, METHODS, fuse
from rag.retrieval.intents import asks_to_do, part_of, parts_asked

ASKED = expanded("replace the fan belt of the crac")


def candidate(key: int, similarity: float | None, bm25: float, **more) -> Candidate:
    given: dict[str, Any] = {
        "section": "Notes",
        "text": "Nothing of interest is written here at all.",
        "step": None,
    }
    given |= {"document": 1, "ordinal": key, "words": 80, "ranks": (None, None)} | more
    return Candidate(
        passage_id=key,
        similarity=similarity,
        bm25=bm25,
        coverage=0.0,
        vector_rank=given["ranks"][0],
        text_rank=given["ranks"][1],
        matched=frozenset(),
        in_title=frozenset(),
        details=Details(
            revision_id=given["document"],
            revision=1,
            document_id=given["document"],
            document=f"document-{given['document']}",
            title=given.get("title", "Handbook"),
            kind="manual",
            collection="tests",
            section_path=(given["section"],),
            step=given["step"],
            page=None,
            ordinal=given["ordinal"],
            anchor=f"p-{given['ordinal']}",
            text=given["text"],
            context="",
            codes=(),
            words=given["words"],
        ),
    )


def order(candidates: list[Candidate], query=ASKED, method: str = DEFAULT_METHOD) -> list[int]:
    return [item.passage_id for item in fuse(candidates, query, method)]


def test_it_adds_z_scores_reciprocal_ranks_and_scaled_scores():
    two = [candidate(1, 0.9, 0.0, ranks=(1, None)), candidate(2, 0.1, 4.0, ranks=(2, 1))]
    assert [item.score for item in fuse(two, ASKED, "zsum")] == [0.0, 0.0]
    [first, second] = fuse(two, ASKED, "rrf")
    assert (first.passage_id, first.score) == (2, pytest.approx(1 / 62 + 1 / 61))
    assert (second.passage_id, second.score) == (1, pytest.approx(1 / 61))
    three = [*two, candidate(3, 0.5, 1.0)]
    scores = {item.passage_id: item.score for item in fuse(three, ASKED, "minmax")}
    assert scores == {1: pytest.approx(1.0), 2: pytest.approx(1.0), 3: pytest.approx(0.75)}


def test_it_refuses_an_unknown_method_and_takes_an_empty_list():
    assert fuse([], ASKED) == []
    with pytest.raises(ValueError, match="'borda' is not one of evidence, zsum, minmax, rrf"):
        fuse([candidate(1, 0.5, 1.0)], ASKED, "borda")


@pytest.mark.parametrize("method", METHODS)
def test_it_ranks_by_words_alone_when_nothing_was_embedded(method):
    found = [
        candidate(1, None, 1.0, ranks=(None, 2)),
        candidate(2, None, 5.0, ranks=(None, 1)),
        candidate(3, None, 0.0),
    ]
    assert order(found, method=method) == [2, 1, 3]


def test_it_prefers_the_part_that_is_about_the_question():
    about = candidate(1, 0.5, 3.0, section="Replacing the fan belt")
    mention = candidate(2, 0.5, 3.0, section="Spare parts")
    assert order([mention, about]) == [1, 2]


def test_it_prefers_words_that_stand_together():
    together = candidate(1, 0.5, 3.0, text="Loosen the motor, then take the fan belt off.")
    apart = candidate(2, 0.5, 3.0, text="The belt is checked weekly. Rotor and fan are not.")
    assert order([apart, together]) == [1, 2]


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("who signs for the fan belt", "Roles"),
        ("when do we abort the fan belt work", "Abort criteria"),
        ("undo the fan belt work", "Back-out"),
        ("what is the impact of a torn fan belt", "Impact"),
        ("what do I need at hand for the fan belt", "Prerequisites"),
    ],
)
def test_it_prefers_the_part_that_the_wording_points_at(question, wanted):
    sections = ["Roles", "Abort criteria", "Back-out", "Impact", "Prerequisites"]
    text = "The fan belt."
    found = [candidate(n, 0.5, 3.0, section=name, text=text) for n, name in enumerate(sections)]
    assert sections[order(found, expanded(question))[0]] == wanted


def test_it_tells_an_action_from_a_fact():
    assert asks_to_do("how do I replace the belt")
    assert asks_to_do("restart the fan")
    assert not asks_to_do("who may restart the fan")
    assert not asks_to_do("belt tension in newton")
    assert "roles" in parts_asked("who is on duty")
    assert part_of("Abort criteria") == {"abort"}
    assert part_of("Step 4 — Replace the belt") == frozenset()


def test_it_tells_what_a_score_is_made_of():
    [best, _other] = fuse([candidate(1, 0.9, 3.0), candidate(2, 0.2, 1.0)], ASKED)
    assert [name for name, _value in best.parts] == list(NAMES)
    assert sum(value for _name, value in best.parts) == pytest.approx(best.score, abs=1e-3)


def test_it_counts_a_rare_word_more():
    rare = candidate(1, 0.5, 3.0, text="About the belt.")
    common = candidate(2, 0.5, 3.0, text="About the crac.")
    idf = {"belt": 6.0, "crac": 0.5, "fan": 2.0, "replac": 1.0}
    assert [item.passage_id for item in fuse([common, rare], ASKED, idf=idf)] == [1, 2]


scores = st.floats(min_value=0, max_value=30).map(lambda value: round(value, 3))
cosines = st.none() | st.floats(min_value=-1, max_value=1).map(lambda value: round(value, 3))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(cosines, scores), min_size=1, max_size=20), st.randoms())
@pytest.mark.parametrize("method", METHODS)
def test_it_depends_on_no_order_and_gives_finite_scores(method, pairs, random):
    found = [candidate(n, *pair, document=n % 3) for n, pair in enumerate(pairs)]
    shuffled = list(found)
    random.shuffle(shuffled)
    one, other = fuse(found, ASKED, method), fuse(shuffled, ASKED, method)
    assert {item.passage_id for item in one} == set(range(len(found)))
    assert np.isfinite([item.score for item in one]).all()
    by_id = {item.passage_id: item.score for item in other}
    assert all(by_id[item.passage_id] == pytest.approx(item.score, abs=1e-9) for item in one)


@settings(max_examples=40, deadline=None)
@given(st.lists(scores, min_size=2, max_size=10), st.floats(min_value=0.5, max_value=4))
def test_it_lets_a_better_match_never_rank_lower(values, more):
    found = [candidate(n, 0.5, value, document=n) for n, value in enumerate(values)]
    before = order(found).index(0)
    better = [candidate(0, 0.5, values[0] + more, document=0), *found[1:]]
    assert order(better).index(0) <= before


def test_it_has_one_weight_for_each_column():
    table = features([candidate(1, 0.5, 1.0)], ASKED, {})
    assert table.shape == (1, len(NAMES)) == (1, len(weights_array(DEFAULT_WEIGHTS)))
