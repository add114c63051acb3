"""A stream whose client takes nothing is given up, whatever it waits for."""

import asyncio

from kvserve.api import sse
from kvserve.api.generation import EngineError


async def test_it_lets_a_client_go_that_takes_nothing(monkeypatch) -> None:
    monkeypatch.setattr(sse, "STALL_S", 0.05)
    ended = asyncio.Event()

    async def chunks():
        try:
            while True:
                yield {"text": "a"}
        finally:
            ended.set()

    sent = []

    async def send(message) -> None:
        sent.append(message)
        if len(sent) > 2:
            await asyncio.Event().wait()  # as a full socket does

    async def receive():
        await asyncio.Event().wait()

    scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
    await asyncio.wait_for(sse.EventStream(chunks())(scope, receive, send), timeout=5)
    await asyncio.wait_for(ended.wait(), timeout=5)
    assert [message["type"] for message in sent] == ["http.response.start"] + 2 * [
        "http.response.body"
    ]


async def test_it_says_why_a_stream_ends_early() -> None:
    async def chunks():
        yield {"text": "a"}
        raise EngineError("the step failed")

    events = [event async for event in sse.EventStream(chunks()).body_iterator]
    assert events[0] == 'data: {"text": "a"}\n\n'
    assert '"message": "the step failed"' in events[1]
    assert events[2:] == ["data: [DONE]\n\n"]
