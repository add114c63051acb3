"""Streamed completions over plain sockets, timed as they arrive and read only afterwards.

The client shares the cores with the server it measures, so it does next to nothing while a load
runs: no HTTP library, no JSON. `asyncio` and about 20 µs per token remain.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from benchmarks.serving.loads import Load, Prompt

TIMEOUT_S = 300.0  # of one request; a server that hangs must not hold up the benchmark


@dataclass
class Answer:
    """One request; times are seconds after it was sent, `due` seconds after the load began."""

    due: float
    sent: float = 0.0
    ended: float = 0.0
    stamps: list[float] = field(default_factory=list)
    num_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    error: str = ""

    @property
    def ttft(self) -> float:
        """To the first token, from when it was due: a late client counts against nobody else."""
        return self.sent - self.due + self.stamps[0]

    @property
    def gaps(self) -> list[float]:
        """Between tokens."""
        return [b - a for a, b in pairwise(self.stamps)]


@dataclass
class Replies:
    """All answers to a load, and how long it took."""

    answers: list[Answer]
    elapsed: float

    @property
    def good(self) -> list[Answer]:
        return [answer for answer in self.answers if not answer.error]


async def closed_loop(url: str, load: Load) -> Replies:
    """`concurrency` requests at a time."""
    queue = list(reversed(load.prompts))
    answers: list[Answer] = []
    began = time.perf_counter()

    async def work() -> None:
        while queue:
            prompt = queue.pop()
            answers.append(await ask(url, prompt, began, due=time.perf_counter() - began))

    await asyncio.gather(*(work() for _ in range(load.concurrency)))
    return Replies(answers, time.perf_counter() - began)


async def open_loop(
    url: str,
    prompts: list[Prompt],
    arrivals: list[float],
    beside: Callable[[], Awaitable[None]] | None = None,
) -> Replies:
    """Each request at its time, whatever became of those before; `beside` runs until the end."""
    began = time.perf_counter()

    async def at(due: float, prompt: Prompt) -> Answer:
        await asyncio.sleep(max(0.0, due - (time.perf_counter() - began)))
        return await ask(url, prompt, began, due=due)

    watcher = asyncio.ensure_future(beside()) if beside else None
    try:
        answers = await asyncio.gather(*map(at, arrivals, prompts))
        return Replies(list(answers), time.perf_counter() - began)
    finally:
        if watcher is not None:
            watcher.cancel()


async def ask(url: str, prompt: Prompt, began: float, *, due: float) -> Answer:
    """One greedy completion of exactly `output_tokens`, where the server knows `ignore_eos`."""
    answer = Answer(due)
    events: list[tuple[float, bytes]] = []
    sent = time.perf_counter()
    answer.sent = sent - began
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await _stream(url, _body(prompt), sent, events)
        _read(events, answer)
    except TimeoutError:
        answer.error = f"no end after {TIMEOUT_S:.0f} s"
    except (OSError, EOFError, ValueError) as error:
        answer.error = f"{type(error).__name__}: {error}"
    answer.ended = time.perf_counter() - sent
    if not answer.error and not answer.stamps:
        answer.error = "the stream ended without a token"
    return answer


def _body(prompt: Prompt) -> bytes:
    fields: dict[str, Any] = {
        "prompt": prompt.text,
        "max_tokens": prompt.output_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return json.dumps(fields).encode()


async def _stream(url: str, body: bytes, sent: float, events: list[tuple[float, bytes]]) -> None:
    """Append each piece of the answer with its time.

    Raises:
        OSError, EOFError, ValueError: the server is gone, broke off, or answered an error.
    """
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=1 << 20)
    try:
        head = f"POST /v1/completions HTTP/1.1\r\nHost: {where.netloc}\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        status = (await reader.readline()).split(maxsplit=2)
        chunked = False
        while (line := await reader.readline()).strip():
            chunked = chunked or line.lower().startswith(b"transfer-encoding: chunked")
        if status[1:2] != [b"200"]:
            rest = await reader.read(300)
            raise ValueError(
                f"{b' '.join(status).decode().strip()}: {rest.decode('utf-8', 'replace')}"
            )
        while True:
            piece = await (_chunk(reader) if chunked else reader.readline())
            if not piece:
                return
            events.append((time.perf_counter() - sent, piece))
    finally:
        writer.close()


async def _chunk(reader: asyncio.StreamReader) -> bytes:
    size = int((await reader.readline()).split(b";")[0] or b"0", 16)
    return (await reader.readexactly(size + 2))[:-2]


def _read(events: list[tuple[float, bytes]], answer: Answer) -> None:
    """Times and counts out of the stream; a token is an event with a choice, until usage says."""
    rest, num_events, finish = b"", 0, ""
    for stamp, piece in events:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if not line.startswith(b"data: {"):
                if line.startswith(b"error:"):
                    raise ValueError(line.decode("utf-8", "replace")[:300])
                continue
            event = json.loads(line[6:])
            if "error" in event:
                raise ValueError(str(event["error"])[:300])
            for choice in event.get("choices", ()):
                finish = choice.get("finish_reason") or finish
                if choice.get("text"):
                    answer.stamps.append(stamp)
                    num_events += 1
            if usage := event.get("usage"):
                answer.num_tokens = usage.get("completion_tokens", 0)
                answer.prompt_tokens = usage.get("prompt_tokens", 0)
                details = usage.get("prompt_tokens_details") or {}
                answer.cached_tokens = details.get("cached_tokens", 0)
    answer.num_tokens = answer.num_tokens or num_events
    if not finish:
        raise EOFError("the stream broke off before a finish reason")
    if finish not in {"stop", "length"}:
        raise ValueError(f"the request ended with finish reason {finish!r}")
