"""The judge of answers, on hand-made right and wrong ones. It shares nothing with the pipeline."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.evaluation.answers_judge import judge, shown_sentences, supports

CRAC = (
    "EOP-CRAC-01 CRAC unit failure › Step 4 — Start the standby CRAC\n"
    "Start the standby unit crac-4: set `crac-4.run_cmd` to 1. The fan turns after 6 seconds and "
    "reaches 70 % within 20 seconds.\n\n**Warning:** Do not start two units at the same time.\n\n"
    "The supply air stays below 21 °C. The shift supervisor signs within 5 minutes."
)
UPS = "UPS on battery\nThe generator starts within 15 seconds. Shed load below 5 minutes."
TEXTS = {1: CRAC, 2: UPS}


@pytest.mark.parametrize(
    "answer",
    [
        "The fan turns after 6 seconds and reaches 70 % within 20 seconds. [1]",
        "Do not start two units at the same time. [1] The generator starts within 15 seconds. [2]",
        "> **Step 4 — Start the standby CRAC**\n>\n> The supply air stays below 21 °C. The shift "
        "supervisor signs within 5 minutes. [1]",
        "The fan reaches 70 % within 20 seconds and turns after 6 seconds. [1]",
        "Start the standby unit CRAC-4: set crac-4.run_cmd to 1 [1].",
    ],
)
def test_it_accepts_right_answers(answer):
    judged = judge(answer, TEXTS)
    assert judged.sentences == judged.supported > 0
    assert judged.citations == judged.precise


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        ("changed number", "The fan turns after 9 seconds and reaches 70 % within 20 seconds. [1]"),
        ("lost not", "Start two units at the same time. [1]"),
        ("added not", "The generator does not start within 15 seconds. [2]"),
        ("swapped unit", "The shift supervisor signs within 5 seconds. [1]"),
        ("swapped unit in a quotation", "> The supply air stays below 21 %. [1]"),
        ("wrong citation", "The generator starts within 15 seconds. [1]"),
        ("citation that does not exist", "The generator starts within 15 seconds. [3]"),
        ("no citation", "The generator starts within 15 seconds."),
        ("other asset", "Start the standby unit crac-3: set crac-3.run_cmd to 1. [1]"),
        ("other words", "The operator presses the red emergency button and leaves the hall. [1]"),
        ("number of another sentence", "The fan turns after 20 °C. [1]"),
    ],
)
def test_it_finds_the_fault_of_wrong_answers(fault, answer):
    judged = judge(answer, TEXTS)
    assert (judged.supported, judged.sentences) == (0, 1), fault


def test_it_counts_citations_as_alce_does():
    """Of two citations the one that neither supports alone nor is needed does not count."""
    judged = judge("The generator starts within 15 seconds [1][2].", TEXTS)
    assert (judged.supported, judged.citations, judged.precise) == (1, 2, 1)


def test_it_needs_similar_meaning_where_it_can_be_measured():
    said = "Within 20 seconds the fan reaches 70 %."
    assert supports(CRAC, said, lambda left, right: 0.9)
    assert not supports(CRAC, said, lambda left, right: 0.1)


def test_it_reads_the_statements_of_an_answer():
    answer = "One fact here. [1] Another fact. [2]\n\n> **Title**\n>\n> Quoted one. Quoted two. [3]"
    assert [(s.text, s.cites, s.is_quoted) for s in shown_sentences(answer)] == [
        ("One fact here.", (1,), False),
        ("Another fact.", (2,), False),
        ("Quoted one.", (3,), True),
        ("Quoted two.", (3,), True),
    ]


@given(
    st.integers(2, 999), st.integers(2, 999), st.sampled_from(["s", "min", "°C", "%", "kW", "Pa"])
)
def test_it_never_accepts_another_number(stated, claimed, unit):
    premise = f"Header\nThe standby pump is stopped above {stated} {unit} by the operator."
    said = f"The standby pump is stopped above {claimed} {unit} by the operator."
    assert supports(premise, said) == (stated == claimed)
