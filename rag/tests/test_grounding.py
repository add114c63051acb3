"""The sentence checker: what a source supports, and what it must not."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.answers.grounding import (
    Source,
    check_sentence,
    missing_number,
    negation_differs,
    numbers,
    split_sentences,
)

SOURCE = Source(
    1,
    "Start the standby unit CRAC-4 with a run command and wait 30 s. The supply temperature "
    "falls below 20 °C within 120 s. Do not start two units at the same time.",
    "CRAC unit failure › Step 2",
)


@pytest.mark.parametrize(
    "sentence",
    [
        "Start the standby unit CRAC-4 with a run command and wait 30 seconds.",
        "The supply temperature falls below 20 °C within 120 s.",
        "Do not start two units at the same time.",
        "Do not start 2 units at the same time.",
    ],
)
def test_it_supports_what_the_source_says(sentence):
    assert check_sentence(sentence, [SOURCE]).source == 1


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("The supply temperature falls below 18 °C within 120 s.", "18 c is not in the source"),
        ("The supply temperature falls below 20 °C within 120 minutes.", "120 min is not"),
        ("Start the standby unit CRAC-3 with a run command.", "crac-3 is not in the source"),
        ("Start two units at the same time.", "negated differently"),
        ("Call the fire brigade and evacuate the building.", "no source|too far"),
        ("Yes.", "nothing that could be checked"),
    ],
)
def test_it_refuses_what_the_source_does_not_say(sentence, reason):
    verdict = check_sentence(sentence, [SOURCE])
    assert verdict.source is None
    assert re.search(reason, verdict.reason)


def test_it_needs_similarity_for_looser_words():
    sentence = "Launch the standby unit CRAC-4 with a run command."
    near = Source(1, SOURCE.text, SOURCE.context, [1.0, 0.0])

    assert check_sentence(sentence, [SOURCE]).source is None
    assert check_sentence(sentence, [near], vector=[0.0, 1.0]).source is None
    assert check_sentence(sentence, [near], vector=[0.9, 0.1]).source == 1


def test_it_picks_the_supporting_source():
    other = Source(2, "The generator starts within 15 seconds.")
    assert check_sentence("The generator starts within 15 seconds.", [SOURCE, other]).source == 2


def test_it_reads_quantities():
    assert numbers("27 °C, 70 %, 1,500 W, 2.50 h, two fans [3]") == {
        ("27", "c"), ("70", "%"), ("1500", "w"), ("2.5", "h"), ("2", ""),
    }  # fmt: skip
    assert numbers("1. Do this") == set()


def test_it_sees_a_lost_negation():
    assert negation_differs("Open the valve.", "Do not open the valve.")
    assert not negation_differs("Never open the valve.", "Do not open the valve.")


def test_it_keeps_abbreviations_together():
    assert split_sentences("Wait approx. 5 s. Then start it.") == [
        "Wait approx. 5 s.",
        "Then start it.",
    ]


@given(st.text(max_size=200))
def test_it_splits_without_losing_anything(text):
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())


@given(st.integers(0, 9999), st.integers(0, 9999))
def test_it_never_accepts_another_number(stated, claimed):
    missing = missing_number(f"The limit is {claimed} W.", f"The limit is {stated} W.")
    assert (missing is None) == (stated == claimed)


@given(st.floats(0.01, 9999, allow_nan=False), st.sampled_from(["°C", "%", "kW", "s"]))
def test_it_always_accepts_the_same_quantity(value, unit):
    text = f"It reads {value:.2f} {unit} now."
    assert missing_number(text, text) is None
