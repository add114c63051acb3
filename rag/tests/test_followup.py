"""Follow-up questions and the time asked about: simple rules, and what they must leave alone."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.answers.dates import asked_time
from rag.answers.followup import standalone

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
ASKED = "How do I start the standby after CRAC-2 failed"
HISTORY: list[dict[str, Any]] = [
    {"role": "user", "text": f"{ASKED}?"},
    {
        "role": "assistant",
        "text": "…",
        "citations": [{"document": "eop-crac-01", "step": 4}],
        "procedure": {
            "document": "eop-crac-01",
            "current": 4,
            "steps": [{"n": number} for number in range(1, 11)],
        },
        "candidates": [{"document": "eop-chw-01"}],
    },
]


@pytest.mark.parametrize(
    ("question", "expected", "is_users_own"),
    [
        ("next step", "Step 5 of EOP-CRAC-01", False),
        ("ok, what next?", "Step 5 of EOP-CRAC-01", False),
        ("previous step", "Step 3 of EOP-CRAC-01", False),
        ("and step 8?", "and step 8 of EOP-CRAC-01?", False),
        ("the second one", f"{ASKED}, by EOP-CHW-01", False),
        ("why?", f"Why? (about: {ASKED})", True),
        ("how long does it take?", f"how long does it take? (about: {ASKED})", True),
        ("and for CRAC-3?", "How do I start the standby after CRAC-3 failed?", True),
        ("what about chiller-2?", f"Chiller-2? (about: {ASKED})", True),
        (
            "what is the warning in this step?",
            "what is the warning in this step? (about: step 4 of EOP-CRAC-01)",
            False,
        ),
    ],
)
def test_it_writes_a_follow_up_out(question, expected, is_users_own):
    found = standalone(question, HISTORY)
    assert (found.text, found.is_users_own) == (expected, is_users_own)


@pytest.mark.parametrize(
    "question",
    [
        "What do I do when the UPS is on battery?",
        "How often is the generator tested?",
        "what does XID 79 mean?",
        "crac-1 filter pressure",
        "leak",
        "Which racks are hottest?",
        "verify that the pump runs",
        "step 3 of EOP-UPS-01",
        "the standby pump does not start",
    ],
)
def test_it_leaves_a_whole_question_alone(question):
    assert standalone(question, HISTORY).text == question


def test_it_chains_follow_ups():
    later = [
        *HISTORY,
        {"role": "user", "text": "why?"},
        {"role": "assistant", "asked_as": standalone("why?", HISTORY).text},
    ]
    again = standalone("and for CRAC-3?", later).text
    assert again == "How do I start the standby after CRAC-3 failed?"


@given(st.text(max_size=80))
def test_it_takes_any_question(question):
    assert standalone(question, []).text == question
    assert len(standalone(question, HISTORY).text) <= 1000


@pytest.mark.parametrize(
    ("question", "at", "left"),
    [
        ("what did the procedure say in March 2025?", "2025-03-31", "what did the procedure say?"),
        ("What did SOP-1 require on 2025-03-14?", "2025-03-14", "What did SOP-1 require?"),
        ("which limit was valid last year?", "2025-12-31", "which limit was valid?"),
        ("As of 3 May 2026 how many units?", "2026-05-03", "how many units?"),
        ("What was the inlet limit in 2024?", "2024-12-31", "What was the inlet limit?"),
        ("what did it require before April 2026?", "2026-03-31", "what did it require?"),
    ],
)
def test_it_reads_the_time_asked_about(question, at, left):
    found = asked_time(question, now=NOW)
    assert found is not None
    assert (found.at.date().isoformat(), found.question) == (at, left)


@pytest.mark.parametrize(
    "question",
    [
        "what failed last month?",
        "what will be in force in 2030?",
        "what did the report on 2026-13-45 say",
        "who replaced the filter yesterday?",
        "the limit in March",
        "what did it say in 2026?",
    ],
)
def test_it_asks_about_now_otherwise(question):
    assert asked_time(question, now=NOW) is None


@given(st.text(max_size=120))
def test_it_reads_any_text_for_a_time(text):
    found = asked_time(text, now=NOW)
    assert found is None or found.at <= NOW
