"""What the serving benchmark computes from what it measured."""

import asyncio
import json
import sys

import pytest

from benchmarks.serving import client, loads, metrics, trace
from benchmarks.serving.figures import figures
from benchmarks.serving.measure import answers, goodput
from benchmarks.serving.roofline import Model, Work, need
from kvserve.testing import ServerProcess


def event(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "text": text, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


USAGE = b'data: {"choices": [], "usage": {"completion_tokens": 3, "prompt_tokens": 7}}\n\n'


async def ask(*pieces: bytes, status: str = "200 OK", chunked: bool = True) -> client.Answer:
    """One request to a server that sends these pieces, 20 ms apart."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r")[0])
        assert json.loads(await reader.readexactly(length))["max_tokens"] == 5
        kind = "Transfer-Encoding: chunked\r\n" if chunked else ""
        writer.write(f"HTTP/1.1 {status}\r\n{kind}\r\n".encode())
        for piece in pieces:
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" if chunked else piece)
            await writer.drain()
            await asyncio.sleep(0.02)
        writer.write(b"0\r\n\r\n" if chunked else b"")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        load = loads.Load([loads.Prompt("a b", 5)], 1)
        return (await client.closed_loop(f"http://127.0.0.1:{port}", load)).answers[0]


@pytest.mark.parametrize("chunked", [True, False])
async def test_it_times_tokens_and_takes_counts_from_usage(chunked: bool) -> None:
    whole = event("a")
    pieces = (whole[:9], whole[9:], event("b"), event("", "length"), USAGE, b"data: [DONE]\n\n")
    answer = await ask(*pieces, chunked=chunked)
    assert answer.error == ""
    assert (answer.num_tokens, answer.prompt_tokens) == (3, 7)
    assert len(answer.stamps) == 2
    assert answer.gaps[0] >= 0.01
    assert answer.stamps[0] <= answer.ttft < answer.ended


async def test_it_counts_events_where_there_is_no_usage() -> None:
    assert (await ask(event("a"), event("b", "stop"))).num_tokens == 2


@pytest.mark.parametrize(
    ("pieces", "status", "error"),
    [
        ((event("a"),), "200 OK", "broke off before a finish reason"),
        ((event("a"), event("", "error")), "200 OK", "finish reason 'error'"),
        ((b'data: {"error": {"message": "no room"}}\n\n',), "200 OK", "no room"),
        ((event("", "stop"),), "200 OK", "ended without a token"),
        ((b"queue is full",), "429 Too Many Requests", "429 Too Many Requests"),
    ],
)
async def test_it_says_why_a_request_failed(pieces, status: str, error: str) -> None:
    assert error in (await ask(*pieces, status=status)).error


async def test_it_reports_a_server_that_is_gone() -> None:
    replies = await client.closed_loop("http://127.0.0.1:9", loads.warm_up("gone"))
    assert all(answer.error for answer in replies.answers)
    assert answers(replies)["failed"] == len(replies.answers)


def answer(ttft: float, gaps: list[float], error: str = "") -> client.Answer:
    stamps = [ttft]
    for gap in gaps:
        stamps.append(stamps[-1] + gap)
    return client.Answer(0.0, stamps=stamps, num_tokens=len(stamps), error=error)


def test_it_counts_as_goodput_what_meets_both_limits() -> None:
    replies = client.Replies(
        [
            answer(1.9, [0.1, 0.24]),
            answer(2.1, [0.1]),  # first token too late
            answer(0.5, [0.1, 0.3]),  # a gap too long
            answer(0.5, [], error="broke off"),
        ],
        elapsed=2.0,
    )
    found = goodput(replies)
    assert (found["goodput_share"], found["goodput_per_s"]) == (0.25, 0.5)
    assert (found["within_ttft"], found["within_itl"]) == (0.5, 0.5)


async def test_it_sends_at_the_given_times_whatever_came_before() -> None:
    sent: list[float] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.3)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + event("a", "stop"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        prompts = [loads.Prompt("a", 5)] * 3
        replies = await client.open_loop(f"http://127.0.0.1:{port}", prompts, [0.0, 0.1, 0.2])
    assert not [reply.error for reply in replies.answers if reply.error]
    assert sent[2] - sent[0] == pytest.approx(0.2, abs=0.08)
    assert replies.elapsed < 0.9


TRACE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.9799600,3180,8
2023-11-16 18:17:06.9799600,110,1899
2023-11-16 18:17:56.9799600,16,40
2023-11-16 18:17:57.9799600,800,16
"""


def test_it_scales_the_trace_to_fit_and_keeps_its_gaps(tmp_path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(TRACE.replace("\n", "\r\n"))
    rows = trace.read(path)
    assert trace.divisor(rows) == 3  # 4,818 tokens into 2,048 less a margin
    assert trace.windows(rows, 3) == [0]  # the pause of 50 s ends it
    assert trace.windows(rows, 2) == [0, 3]
    by = trace.Divisors(8, 1)
    window = trace.window(rows, 0, 3, by=by, seed=1)
    assert [len(prompt.text.split()) for prompt in window.prompts] == [601, 398, 14]
    assert [prompt.output_tokens for prompt in window.prompts] == [10, 8, 1899]  # cut to the slot
    assert window.arrivals == pytest.approx([0.0, 2 / 3, 2.0])  # one per second on average


def test_it_refuses_a_file_that_is_no_trace(tmp_path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no column 'TIMESTAMP'"):
        trace.read(path)


def test_prompts_share_their_prefix_and_nothing_else() -> None:
    load = loads.prefixed(8, 4, 16, prefixes=2, seed=1)
    words = [prompt.text.split() for prompt in load.prompts]
    assert {len(w) for w in words} == {410}
    assert words[0][:350] == words[2][:350]
    assert words[0][350:] != words[2][350:]
    assert words[0][:8] != words[1][:8]
    assert loads.prefixed(8, 4, 16, prefixes=2, seed=2).prompts[0] != load.prompts[0]


def test_it_relates_waste_to_what_running_requests_hold() -> None:
    waste = metrics.Waste("", blocks=100)
    waste.take({metrics.RUNNING: 0.0, metrics.WASTE: 0.9, metrics.USAGE: 0.0})
    waste.take(
        {metrics.RUNNING: 2.0, metrics.WASTE: 0.01, metrics.USAGE: 0.2, metrics.CACHED: 60.0}
    )
    assert waste.shares == [0.01]
    assert waste.running == [pytest.approx(0.04)]  # 0.8 blocks of 20


def entry(number: int, server: str, rate: float, ttft: float, **more) -> dict:
    figures = {"tokens_per_s": rate, "ttft_p50_s": ttft, "failed": 0}
    return {"round": number, "row": "shared", "server": server, **figures, **more}


def test_a_figure_is_the_median_of_ratios_within_a_round() -> None:
    entries = [
        entry(1, "kvserve", 300.0, 1.0), entry(1, "llama-server", 100.0, 4.0),
        entry(2, "kvserve", 30.0, 1.0), entry(2, "llama-server", 6.0, 1.0),
        entry(3, "kvserve", 320.0, 1.0), entry(3, "llama-server", 80.0, 4.0),
    ]  # fmt: skip
    rate, library, ttft, _cpu = figures(entries, ["shared"])
    assert (rate.values, rate.met) == ([3.0, 5.0, 4.0], True)
    assert (library.values, library.met) == ([], None)
    assert (ttft.values, ttft.met) == ([0.25, 1.0, 0.25], True)


def test_a_figure_is_not_reached_where_requests_failed() -> None:
    entries = [entry(1, "kvserve", 900.0, 1.0, failed=2), entry(1, "llama-server", 100.0, 4.0)]
    rate = figures(entries, ["shared"])[0]
    assert (rate.values, rate.met) == ([9.0], False)
    assert rate.note == "2 of kvserve's requests failed"


def test_a_round_in_which_a_server_crashed_does_not_count() -> None:
    entries = [
        entry(1, "kvserve", 400.0, 1.0), entry(1, "llama-server", 100.0, 4.0),
        entry(2, "kvserve", 400.0, 1.0),
        entry(2, "llama-server", 10.0, 4.0, failed=30, crashed="llama-server ended with code -11"),
    ]  # fmt: skip
    rate = figures(entries, ["shared"])[0]
    assert (rate.values, rate.met) == ([4.0], True)
    assert "30 of llama-server's requests failed" in rate.note
    assert "llama-server ended with code -11" in rate.note


def test_the_ceiling_of_an_output_token_worked_by_hand() -> None:
    model = Model(100, parameters=50, embedding=10, kv_bytes_per_token=2, attention_ops=4)
    found = need(model, Work(prefill_tokens=0, batch=4, context=10), bytes_per_s=9, ops_per_s=14)
    assert found.num_bytes == 25 + 20  # a quarter of the weights, ten tokens of KV
    assert found.ops == 100 + 40
    assert found.ceiling_tokens_per_s == pytest.approx(1 / 10)  # operations take longer: 10 s
    prompt = need(
        model, Work(prefill_tokens=256, batch=4, context=10), bytes_per_s=9, ops_per_s=1e9
    )
    assert prompt.num_bytes == 45 + 100  # 256 prompt tokens read the weights once
    assert prompt.ceiling_tokens_per_s == pytest.approx(9 / 145)


def test_a_server_that_does_not_start_says_why(tmp_path) -> None:
    command = [sys.executable, "-c", "print('no model'); raise SystemExit(3)"]
    server = ServerProcess("peer", command, log=tmp_path / "peer.log")
    with pytest.raises(RuntimeError, match=r"peer ended with code 3:\nno model"), server:
        pass
