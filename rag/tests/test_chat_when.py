"""Times in questions, on the site's own clock."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.chat.when import LONGEST, duration_of, span_of

NOW = datetime(2026, 11, 20, 3, 30, tzinfo=UTC)  # a Friday, 04:30 in Berlin


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("in the last 2 hours", at(20, 1, 30), NOW),
        ("over the last half an hour", at(20, 3), NOW),
        ("past 90 minutes", at(20, 2), NOW),
        ("in the last hour", at(20, 2, 30), NOW),
        ("last night", at(19, 21), NOW),  # 22:00 in Berlin, and it is still night
        ("yesterday", at(18, 23), at(19, 23)),
        ("since yesterday", at(18, 23), NOW),
        ("today", at(19, 23), NOW),
        ("since 02:00", at(20, 1), NOW),
        ("since 14:00", at(19, 13), NOW),  # two in the afternoon is still to come
        ("since 2 am", at(20, 1), NOW),
        ("between 10:00 and 12:00 yesterday", at(19, 9), at(19, 11)),
        ("from 23:00 to 01:00", at(19, 22), at(20, 0)),
        ("yesterday afternoon", at(19, 11), at(19, 17)),
        ("on 2026-11-17", at(16, 23), at(17, 23)),
        ("on Monday", at(15, 23), at(16, 23)),
        ("since Wednesday", at(17, 23), NOW),
        ("3 days ago", at(17, 3, 30), NOW),
        ("what was it at 01:15", at(20, 0), at(20, 0, 30)),
        ("this week", at(15, 23), NOW),
    ],
)
def test_it_reads_times_as_people_say_them(text, start, end):
    span = span_of(f"power of rack-1-03 {text}?", now=NOW, zone="Europe/Berlin")
    assert span is not None
    assert (span.start, span.end) == (start, end)
    assert span.label


def test_it_means_the_night_that_ended_in_daytime():
    noon = datetime(2026, 11, 20, 11, tzinfo=UTC)
    span = span_of("what happened last night", now=noon, zone="Europe/Berlin")
    assert span is not None
    assert (span.start, span.end) == (at(19, 21), at(20, 5))


@pytest.mark.parametrize(
    "text", ["", "now", "on 2026-13-45", "since 25:61", "between 9 and 5", "the last rack", "step 2",
             "the last step", "on 2031-01-01", "at 27 °C", "nightshift"],
)  # fmt: skip
def test_it_sees_no_time_where_none_is_said(text):
    assert span_of(text, now=NOW) is None


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60), st.sampled_from(["last", "since", "between", "yesterday", "ago", "at"]),
       st.integers(0, 10**7), st.sampled_from(["hours", "days", ":00", "months", " pm"]))  # fmt: skip
def test_it_stays_within_bounds_whatever_is_typed(noise, word, count, unit):
    for text in (f"{word} {count} {unit} {noise}", f"{noise} {count}{unit} {word}"):
        span = span_of(text, now=NOW, zone="Europe/Berlin")
        if span is not None:
            assert span.start < span.end <= NOW
            assert span.end - span.start <= LONGEST
        seconds = duration_of(text)
        assert seconds is None or 0 <= seconds <= LONGEST.total_seconds()


def test_it_reads_how_long():
    assert duration_of("what if CRAC-2 fails for 20 minutes") == 1200
    assert duration_of("in the next 2 hours") == timedelta(hours=2).total_seconds()
    assert duration_of("what if CRAC-2 fails") is None
