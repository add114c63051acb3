"""InfluxDB line protocol: what the library reads, line numbers, precision, and the two answers."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from line_protocol_parser import LineFormatError, parse_line

from facilities.ingest.errors import IngestError
from facilities.ingest.formats import line_protocol
from facilities.ingest.formats.base import Grouped
from facilities.ingest.samples import Rejected
from facilities.tests.formats.helpers import (
    NOW_US,
    answered,
    decoded,
    listed,
    parsed,
    refusal,
    refused,
    zipped,
)

NS = NOW_US * 1000


def lines(text: str, name: str = "influx", **more: Any) -> Grouped:
    samples = decoded(name, text.encode(), "text/plain; charset=utf-8", **more)
    assert isinstance(samples, Grouped)
    return samples


def test_it_makes_one_series_per_field() -> None:
    samples = lines(f"air,row=1,rack=r\\ 7 inlet_c=23.5,fan=12i,up=t,n=3u {NS}\n")
    assert listed(samples) == [
        ('air.inlet_c{rack="r 7",row="1"}', NOW_US, 23.5),
        ('air.fan{rack="r 7",row="1"}', NOW_US, 12.0),
        ('air.up{rack="r 7",row="1"}', NOW_US, 1.0),
        ('air.n{rack="r 7",row="1"}', NOW_US, 3.0),
    ]


def test_it_takes_the_servers_time_where_a_line_has_none() -> None:
    samples = lines(f"a f=1\nb f=2 {NS - 5_000}\n")
    assert [ts for _, ts, _ in listed(samples)] == [NOW_US, NOW_US - 5]


@pytest.mark.parametrize(
    ("precision", "stamp"),
    [
        ("", NS),
        ("ns", NS),
        ("n", NS),
        ("us", NOW_US),
        ("u", NOW_US),
        ("ms", NOW_US // 1_000),
        ("s", NOW_US // 1_000_000),
        ("m", NOW_US // 60_000_000),
        ("h", NOW_US // 3_600_000_000),
    ],
)
def test_it_reads_every_precision(precision: str, stamp: int) -> None:
    for text in (f"a f=1 {stamp}", f'a f=1,s="x" {stamp}'):
        samples = decoded("influx_v1", text.encode(), query={"precision": precision})
        assert set(samples.ts_us.tolist()) == {NOW_US}


def test_it_refuses_an_unknown_precision() -> None:
    error = refused("influx", b"a f=1", query={"precision": "days"})
    assert (error.status, "precision" in error.detail) == (400, True)


def test_it_takes_gzip_as_telegraf_sends_it() -> None:
    samples = decoded(
        "influx", zipped("a f=1\n"), "text/plain; charset=utf-8", content_encoding="gzip"
    )
    assert len(samples) == 1


def test_it_keeps_text_beside_the_value() -> None:
    samples = lines('ups,n=a status="OB DISCHRG",load=4,fw="" 1\n')
    assert listed(samples) == [
        ('ups.status{n="a"}', 0, "OB DISCHRG"),
        ('ups.load{n="a"}', 0, 4.0),
        ('ups.fw{n="a"}', 0, ""),
    ]
    assert math.isnan(samples.value[0])


def test_it_reads_a_text_over_several_lines_and_not_further() -> None:
    samples = lines('a s="one\ntwo",f=1 1000\nb f=2 1000\n')
    assert [name for name, _, _ in listed(samples)] == ["a.s", "a.f", "b.f"]
    samples = lines('a s="never closed\nb f=2 1000\nc f=3 1000\n')
    assert [name for name, _, _ in listed(samples)] == ["b.f", "c.f"]
    assert [samples.group[item.index] for item in samples.rejected] == [0]


def test_it_skips_comments_and_empty_lines() -> None:
    assert len(lines("# a comment\n\n  \r\na f=1 1\r\n")) == 1
    assert len(lines("")) == 0


def test_it_stores_the_good_lines_and_numbers_the_bad_ones() -> None:
    samples = lines(f"a f=1 {NS}\nnonsense\nb f=2 {NS}\nc f=NaN {NS}\nd f= {NS}\ne f=3 {NS}")
    assert [name for name, _, _ in listed(samples)] == ["a.f", "b.f", "e.f"]
    assert [(samples.group[i.index] + 1, i.code, i.raw) for i in samples.rejected] == [
        (2, "malformed", "nonsense"),
        (4, "malformed", f"c f=NaN {NS}"),
        (5, "malformed", f"d f= {NS}"),
    ]


def test_it_refuses_lines_that_are_not_utf8_and_times_beyond_the_calendar() -> None:
    samples = decoded("influx", b"a f=1 1000\nb,t=\xff f=1\nc,t=\x00 f=1\n")
    assert len(samples) == 1
    assert len(samples.rejected) == 2
    assert all("\x00" not in item.raw for item in samples.rejected)
    samples = decoded("influx_v1", b"a f=1 9000000000000000000\nb f=1 5", query={"precision": "h"})
    assert [item.code for item in samples.rejected] == ["bad_timestamp"]
    assert len(samples) == 1


def test_it_answers_204_when_everything_is_stored() -> None:
    for name in ("influx", "influx_v1"):
        answer = answered(name, lines("a f=1 1"))
        assert (answer.status, answer.body) == (204, b"")


def test_it_answers_400_with_line_numbers_for_v2() -> None:
    samples = lines("a f=1 1\nnonsense\nc f=2,g=3 1")
    refused_later = Rejected(3, "unknown_point", "series c.g leads to no point", "c.g 3.0 0")
    answer = answered("influx", samples, refused_later)
    said = parsed(answer)
    assert answer.status == 400
    assert (said["code"], said["line"]) == ("invalid", 2)
    assert "2 of 4 values are stored" in said["message"]
    assert [(item["line_number"], item["code"]) for item in said["data"]] == [
        (2, "malformed"),
        (3, "unknown_point"),
    ]
    assert said["data"][0]["original_line"] == "nonsense"


def test_it_says_partial_write_to_v1_so_that_telegraf_does_not_repeat() -> None:
    answer = answered("influx_v1", lines("a f=1 1\nnonsense", "influx_v1"))
    assert answer.status == 400
    assert "partial write" in parsed(answer)["error"]
    assert "partial write" in answer.headers["X-Influxdb-Error"]


def test_it_lists_at_most_a_hundred_lines() -> None:
    said = parsed(answered("influx", lines("\n".join(["nonsense"] * 500))))
    assert len(said["data"]) == 100
    assert "… and 480 more" in said["message"]


@pytest.mark.parametrize(
    ("status", "code", "v1_status"),
    [
        (401, "unauthorized", 401),
        (403, "forbidden", 403),
        (408, "unavailable", 503),
        (413, "request too large", 413),
        (429, "too many requests", 503),
        (503, "unavailable", 503),
    ],
)
def test_it_refuses_in_influxdbs_words(status: int, code: str, v1_status: int) -> None:
    error = IngestError(status, "x", "because", retry_after_s=7 if status in (429, 503) else None)
    v2, v1 = refusal("influx", error), refusal("influx_v1", error)
    assert parsed(v2) == {"code": code, "message": "because"}
    # Telegraf's v1 output drops a batch at any 4xx, so what should come again is a 503 there.
    assert (v1.status, parsed(v1)) == (v1_status, {"error": "because"})
    for answer in (v2, v1):
        assert ("Retry-After" in answer.headers) == (answer.status in (429, 503))


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"authorization": "Token hp_secret"}, {}),
        ({"authorization": "Bearer hp_secret"}, {}),
        ({"authorization": "Token telegraf:hp_secret"}, {}),
        ({"authorization": "Basic dGVsZWdyYWY6aHBfc2VjcmV0"}, {}),
        ({}, {"u": "telegraf", "p": "hp_secret"}),
    ],
)
def test_it_finds_the_token_where_agents_put_it(headers: dict, query: dict) -> None:
    from facilities.ingest.formats.influx import INFLUX_V1, INFLUX_V2

    assert INFLUX_V1.token(headers, query) == INFLUX_V2.token(headers, query) == "hp_secret"


def by_library(text: str, unit: str) -> Grouped:
    return line_protocol._one_by_one(text, unit, NOW_US)


word = st.text(st.sampled_from("ab1_.-:/üé\u00a0"), min_size=1, max_size=4)
number = st.one_of(
    st.floats(allow_subnormal=False).map(repr),
    st.integers(-(2**64), 2**64).map(lambda n: f"{n}i"),
    st.integers(-5, 2**64).map(lambda n: f"{n}u"),
    st.sampled_from(
        ["t", "False", "TRUE", "tRUE", "1_0", "+1", "0x1", "1e999", "", "i", "-", ".5", "1e5", "٣"]
    ),
)
stamp = st.one_of(
    st.just(""),
    st.integers(-(2**64), 2**64).map(lambda n: f" {n}"),
    st.sampled_from([" 1.5", " +5", " 1_0", " ", "  7", " ٣"]),
)


@st.composite
def line(draw: st.DrawFn) -> str:
    tags = draw(st.dictionaries(word, word, max_size=2))
    fields = draw(
        st.lists(st.tuples(word, number), min_size=1, max_size=3, unique_by=lambda f: f[0])
    )
    head = ",".join([draw(word), *(f"{k}={v}" for k, v in tags.items())])
    return f"{head} {','.join(f'{k}={v}' for k, v in fields)}{draw(stamp)}"


@given(
    st.lists(line() | st.sampled_from(["", "# x", "x"]), max_size=4),
    st.sampled_from(["", "s", "h"]),
)
def test_it_reads_the_same_on_the_short_cut_as_by_the_library(some: list[str], unit: str) -> None:
    text = "\n".join(some)
    short = line_protocol._plain(text, unit, NOW_US)
    if short is not None:
        whole = by_library(text, unit)
        assert not whole.rejected
        assert listed(short) == listed(whole)
        assert short.group == whole.group


@given(line())
def test_it_means_what_the_library_means(text: str) -> None:
    samples = by_library(text, "")
    try:
        expected = parse_line(text.strip(" \t"))
    except LineFormatError:
        assert len(samples.rejected) == 1
        return
    named = {name: value for name, _, value in listed(samples)}
    assert len(named) == len(expected["fields"])
    assert sorted(named.values()) == sorted(map(float, expected["fields"].values()))
