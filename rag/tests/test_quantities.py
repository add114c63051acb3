"""Amounts: read, converted, and never taken for one another."""

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rag.answers.quantities import missing_quantity, quantities

UNITS = ["°C", "%", "kW", "s", "min", "Pa", "L/s", "V", "A", "GB", "rpm", "mm", "h", "kPa", "W"]


def amounts(text: str) -> list[tuple[str, str, str]]:
    return [(str(q.value), q.dimension, q.bound) for q in quantities(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("27 °C, 70 %, 1,500 W", [("27", "celsius", ""), ("70", "share", ""), ("1500", "power", "")]),
        ("two fans and 2.50 h [3]", [("2", "", ""), ("9000", "time", "")]),
        ("between 9 and 12 °C", [("9", "celsius", ""), ("12", "celsius", "")]),
        ("20-23 °C", [("20", "celsius", ""), ("23", "celsius", "")]),
        ("-5 °C", [("-5", "celsius", "")]),
        ("above 10 L/s", [("10", "flow", "above")]),
        ("250 Pa or more", [("250", "pressure", "at_least")]),
        ("no more than 5 min", [("300", "time", "at_most")]),
        ("within 30 seconds", [("30", "time", "within")]),
        ("a 10-minute test", [("600", "time", "")]),
        ("half an hour", [("1800", "time", "")]),
        ("crac-4, 10.0.0.1 and v1.2.3", []),
        ("1. Do this", []),
        ("12.4 m³/s", [("12400", "flow", "")]),
        ("42U and 19 inches", [("42", "rack units", ""), (str(Fraction(19 * 254, 10000)), "length", "")]),
    ],
)  # fmt: skip
def test_it_reads_quantities(text, expected):
    assert amounts(text) == expected


@pytest.mark.parametrize(
    ("sentence", "source"),
    [
        ("Wait 0.5 min.", "Wait 30 s."),
        ("It carries 1.5 kW.", "It carries 1500 W."),
        ("The 2 fans stop.", "The two fans stop."),
        ("It falls within 2 minutes.", "It falls within 120 seconds."),
        ("At most 5 min.", "No more than 300 s."),
    ],
)
def test_it_accepts_the_same_amount_otherwise_written(sentence, source):
    assert missing_quantity(sentence, source) is None


@pytest.mark.parametrize(
    ("sentence", "source"),
    [
        ("Wait 30 min.", "Wait 30 s."),
        ("The limit is below 27 °C.", "The limit is above 27 °C."),
        ("The limit is 27 °C.", "The limit is above 27 °C."),
        ("At least 5 units.", "At most 5 units."),
        ("It reads 27 %.", "It reads 27 °C."),
        ("It reads 2.7 °C.", "It reads 27 °C."),
        ("Wait 5 K.", "Wait 5 °C."),
        ("It reads -5 °C.", "It reads 5 °C."),
    ],
)
def test_it_refuses_another_amount(sentence, source):
    assert missing_quantity(sentence, source)


@given(st.integers(0, 9999), st.integers(0, 9999), st.sampled_from(UNITS))
def test_it_never_accepts_another_number(stated, claimed, unit):
    missing = missing_quantity(f"The limit is {claimed} {unit}.", f"The limit is {stated} {unit}.")
    assert (missing is None) == (stated == claimed)


@given(st.integers(2, 9999), st.sampled_from(UNITS), st.sampled_from(UNITS))
def test_it_never_accepts_another_unit(value, stated, claimed):
    assume(stated != claimed)
    assert missing_quantity(f"It is {value} {claimed} now.", f"It is {value} {stated} now.")


@given(st.floats(0.01, 9999, allow_nan=False), st.sampled_from(UNITS))
def test_it_always_accepts_the_same_quantity(value, unit):
    text = f"It reads {value:.2f} {unit} now."
    assert missing_quantity(text, text) is None


@given(st.text(max_size=200))
def test_it_reads_any_text(text):
    assert missing_quantity(text, text) is None
