"""When to answer and what to quote: the learned weights, and how they are learned."""

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from rag.answers import weights as shipped
from rag.answers.answerable import ANSWERABLE, NEAR, Signs, probability, signs
from rag.answers.choice import MAX_QUOTED, chosen, probabilities
from rag.answers.extraction import Piece
from rag.evaluation.answers_learning import Example, expected, learn_answerable, learn_passages
from rag.retrieval.hits import Hit, SearchResult

GOOD = Signs(confidence=3.0, margin=0.3, agreement=0.8, length=0.8, unknown=0.0, focus=1.0)
BAD = Signs(confidence=-3.0, margin=0.0, agreement=0.2, length=0.4, unknown=0.5, focus=0.0)


def hit(number: int, score: float, document: str = "sop-a", similarity: float = 0.5) -> Hit:
    return Hit(
        passage_id=number, document=document, title="Pump", kind="sop", section="", step=None,
        page=None, text="The pump runs.", score=score, vector_rank=1, text_rank=1, url="/",
        similarity=similarity,
    )  # fmt: skip


def piece(number: int, retrieval: float, score: float) -> Piece:
    return Piece(hit(number, retrieval), 0, "The pump runs.", rank=number, score=score)


def test_the_shipped_weights_tell_a_good_search_from_a_bad_one():
    assert probability(GOOD) > 0.9 > ANSWERABLE > NEAR > probability(BAD)


@pytest.mark.parametrize("sign", ["confidence", "margin", "agreement", "length", "focus"])
def test_every_sign_but_unknown_words_speaks_for_an_answer(sign):
    assert probability(replace(BAD, **{sign: getattr(GOOD, sign)})) > probability(BAD)
    assert probability(replace(GOOD, unknown=0.5)) < probability(GOOD)


def test_it_reads_the_signs_of_a_search():
    hits = [hit(1, 3.0, similarity=0.8), hit(2, 2.0, "sop-b"), hit(3, 1.0), hit(4, 0.5)]
    words = (SimpleNamespace(weight=1.0, df=0), SimpleNamespace(weight=1.0, df=4),
             SimpleNamespace(weight=0.4, df=0))  # fmt: skip
    explanation = SimpleNamespace(terms=words)
    result = SearchResult(hits, confidence=0.5, explanation=explanation)  # type: ignore[arg-type]
    found = signs("how fast does the pump run", result)
    assert found.confidence == 0.0
    assert found.margin == pytest.approx(0.3)
    assert (found.agreement, found.unknown) == (0.6, 0.5)


@given(st.lists(st.tuples(st.floats(-20, 20), st.floats(0, 3)), min_size=1, max_size=8))
def test_probabilities_add_up_and_keep_the_order(pairs):
    likely = probabilities(pairs)
    assert sum(likely) == pytest.approx(1.0)
    better = [(score + 1, quality) for score, quality in pairs[:1]] + pairs[1:]
    assert probabilities(better)[0] >= likely[0]


def test_it_quotes_one_passage_where_both_scores_agree_and_more_where_not():
    assert len(chosen([piece(1, 9.0, 2.0), piece(2, 1.0, 0.5), piece(3, 0.0, 0.4)])) == 1
    undecided = [piece(n, 3.0, 1.5 - n / 100) for n in range(5)]
    assert [one.hit.passage_id for one in chosen(undecided)] == list(range(MAX_QUOTED))
    assert chosen([]) == []


def test_it_takes_the_passage_that_retrieval_is_sure_of_over_a_slightly_better_sentence():
    best = chosen([piece(1, 1.0, 1.6), piece(2, 5.0, 1.5)])[0]
    assert best.hit.passage_id == 2


def test_it_names_what_is_wrong_with_a_file_of_weights(tmp_path):
    path = tmp_path / "weights.json"
    path.write_text(json.dumps(asdict(shipped.weights())))
    assert shipped.read(path) == shipped.weights()
    path.write_text(json.dumps({"answerable": {"focus": 1}, "passages": {}}))
    with pytest.raises(ValueError, match=r"weights.json: 'answerable' has \['focus'\]"):
        shipped.read(path)


def examples(count: int = 60) -> list[Example]:
    """Questions whose answer shows in the signs, except for every tenth; the right passage has the
    better sentence, and not always the better score."""
    found = []
    for number in range(count):
        is_good = number % 2 == 0
        looks = GOOD if is_good != (number % 10 == 9) else BAD
        moved = replace(looks, margin=looks.margin + number / 1000)
        pairs = ((float(number % 3), 1.0), (1.0, 1.5))
        found.append(
            Example(f"q{number}", f"d{number % 12}", is_good, False, moved, pairs, (False, True))
        )
    return found


def test_it_learns_to_tell_answerable_questions():
    learned = learn_answerable(examples())
    assert probability(GOOD, learned) > 0.7 > 0.4 > probability(BAD, learned)
    low, high = expected(examples(), (0.0, 0.5))
    assert (low["kept"], low["declined"]) == (1.0, 0.0)
    assert high["kept"] > 0.9
    assert high["declined"] > 0.7


def test_it_learns_which_passage_answers():
    learned = learn_passages(examples())
    assert learned.piece > 0
    assert probabilities([(1.0, 1.0), (1.0, 1.5)], learned)[1] > 0.6


def test_it_counts_what_a_rule_declines_as_declined():
    barred = [replace(one, is_barred=not one.is_answerable) for one in examples()]
    (row,) = expected(barred, (0.01,))
    assert row["declined"] == 1.0


def test_it_needs_both_kinds_of_question():
    with pytest.raises(ValueError, match="both answerable and unanswerable"):
        learn_answerable([one for one in examples() if one.is_answerable])


def test_it_learns_from_the_whole_library_only(db, no_engine, corpus):
    with pytest.raises(CommandError, match="import the procedures and manuals first"):
        call_command("learn_answers")
