"""One HTTP request's sequences, from submission to the last delta or the client's departure."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import uuid4

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from kvserve.api.entry import Entered
from kvserve.api.protocol import Generate
from kvserve.engine.engine import Engine
from kvserve.engine.sequence import (
    Choosing,
    Delta,
    FinishReason,
    Origin,
    SamplingParams,
    Sequence,
    TokenLogprob,
)
from kvserve.errors import RequestRefused
from kvserve.text.grammar import GrammarText

MAX_UNREAD = 256  # tokens of one sequence that a slow reader may leave waiting
MAX_UNREAD_TOTAL = 8192  # and of all sequences of one request


class Choice(NamedTuple):
    """A finished choice; `text` is all of it."""

    number: int
    text: str
    finish: FinishReason
    logprobs: list[TokenLogprob]


class EngineError(Exception):
    """A sequence of this request failed inside the engine (HTTP 500)."""

    code = "engine_error"


class ReaderTooSlow(EngineError):
    """The client left too much of a stream waiting; its request is cancelled."""

    code = "slow_reader"


class Generation:
    """`n` sequences for each prompt; choice i belongs to prompt i // n.

    Iterate for (index, delta) in the order the engine produced them. A reader that leaves too much
    waiting is cut off with an EngineError, so that memory stays bounded and the blocks come free.
    """

    def __init__(
        self,
        engine: Engine,
        prompts: list[list[int]],
        params: SamplingParams,
        *,
        n: int,
        priority: int,
        origin: Origin,
        adapter: str = "",
    ) -> None:
        self.engine = engine
        self.num_prompt_tokens = sum(map(len, prompts))
        self.num_completion_tokens = 0
        self.num_cached_tokens = 0
        self.joules = 0.0
        self.n = n
        self._queue: asyncio.Queue[tuple[int, Delta]] = asyncio.Queue()
        self._max_unread = min(MAX_UNREAD * n * len(prompts), MAX_UNREAD_TOTAL)
        self._is_cut_off = False
        self._loop = asyncio.get_running_loop()
        self._sequences: list[Sequence] = []
        try:
            for number, prompt in enumerate(prompts):
                choices = [self._choosing(number * n + choice, params) for choice in range(n)]
                self._sequences += engine.submit_choices(
                    choices, prompt=prompt, priority=priority, origin=origin, adapter=adapter
                )
        except Exception:
            self.cancel()
            raise

    def _choosing(self, index: int, params: SamplingParams) -> Choosing:
        """Choice `index`; each of a prompt has a seed of its own."""

        def sink(delta: Delta) -> None:
            self._loop.call_soon_threadsafe(self._keep, index, delta)

        seed = None if params.seed is None else params.seed + index % self.n
        return Choosing(replace(params, seed=seed), sink)

    def _keep(self, index: int, delta: Delta) -> None:
        """On the event loop: hold a delta until the reader takes it."""
        if self._is_cut_off:
            return
        if self._queue.qsize() >= self._max_unread:
            self._is_cut_off = True
            self._queue = asyncio.Queue()
            self.cancel()
            reason = (
                f"cut off: the client left {self._max_unread} tokens waiting; read faster, or ask"
                " without stream"
            )
            delta = Delta("", FinishReason.ABORT, reason, 0)
        self._queue.put_nowait((index, delta))

    async def __aiter__(self) -> AsyncIterator[tuple[int, Delta]]:
        unfinished = len(self._sequences)
        while unfinished:
            index, delta = await self._queue.get()
            if delta.finish in (FinishReason.ERROR, FinishReason.ABORT):
                kind = ReaderTooSlow if self._is_cut_off else EngineError
                raise kind(delta.error or "the request was cancelled")
            if delta.finish is not None:
                unfinished -= 1
                self.num_completion_tokens += delta.num_completion_tokens
                self.joules += delta.joules
                if index % self.n == 0:
                    self.num_cached_tokens += delta.num_cached_tokens
            yield index, delta

    async def choices(self) -> list[Choice]:
        """Wait for every choice."""
        texts = [""] * len(self._sequences)
        logprobs: list[list[TokenLogprob]] = [[] for _ in self._sequences]
        done: list[Choice] = []
        async for index, delta in self:
            texts[index] += delta.text
            logprobs[index] += delta.logprobs
            if delta.finish is not None:
                done.append(Choice(index, texts[index], delta.finish, logprobs[index]))
        return sorted(done)

    def usage(self) -> dict[str, Any]:
        """Tokens so far, in OpenAI's shape."""
        return {
            "prompt_tokens": self.num_prompt_tokens,
            "completion_tokens": self.num_completion_tokens,
            "total_tokens": self.num_prompt_tokens + self.num_completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.num_cached_tokens},
            "energy": {"joules": round(self.joules, 3), "source": self.engine.energy.meter.source},
        }

    def cancel(self) -> None:
        """End what still runs."""
        for seq in self._sequences:
            self.engine.cancel(seq)


@asynccontextmanager
async def cancelled_on_disconnect(request: Request, generation: Generation) -> AsyncIterator[None]:
    """Cancel the generation when the client goes away or the block is left early."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        generation.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
        generation.cancel()


async def sampling_params(
    body: Generate, *, engine: Engine, max_tokens: int, grammar: GrammarText | None
) -> SamplingParams:
    """The engine's view of a body, its grammar compiled unless it is cached.

    Raises:
        RequestRefused: `n`, a bias or the grammar can't be served.
    """
    if body.n > engine.config.max_seqs:
        raise RequestRefused(
            f"n is {body.n}, but this server runs {engine.config.max_seqs} sequences at a time",
            param="n",
        )
    start = engine.runner.tokenizer.grammars.start
    return SamplingParams(
        max_tokens=max_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=max(0, body.top_k),
        min_p=body.min_p,
        repetition_penalty=body.repetition_penalty,
        frequency_penalty=body.frequency_penalty,
        presence_penalty=body.presence_penalty,
        seed=body.seed,
        stop=body.stops,
        ignore_eos=body.ignore_eos,
        grammar=await run_in_threadpool(start, grammar) if grammar else None,
        logit_bias=_logit_bias(body, engine),
        logprobs=body.num_logprobs,
    )


def origin_of(request: Request, body: Generate) -> Origin:
    """Who asks, for fairness: the `user` of the body, else the API key, else the address."""
    key = request.headers.get("authorization", "")
    address = request.client.host if request.client else ""
    return Origin(client=body.user or key or address, cache_salt=body.cache_salt or "")


def _logit_bias(body: Generate, engine: Engine) -> tuple[tuple[int, float], ...]:
    size = engine.runner.tokenizer.size
    bias = tuple(sorted((body.logit_bias or {}).items()))
    if any(token >= size for token, _ in bias):
        raise RequestRefused(f"logit_bias: token ids are 0…{size - 1}", param="logit_bias")
    return bias


def answer_head(kind: str, entered: Entered) -> dict[str, Any]:
    """The fields that every answer and chunk begins with; `kind` is the id's prefix."""
    return {
        "id": f"{kind}-{uuid4().hex}",
        "created": int(time.time()),
        "model": entered.name,
        "system_fingerprint": _fingerprint(entered.engine),
    }


def _fingerprint(engine: Engine) -> str:
    """The same as long as model, attention and llama.cpp are: what a seed's answer depends on."""
    from llama_cpp import __version__

    runner = engine.runner
    parts = (engine.model_name, runner.info.weights, runner.kernels.attention.kind, __version__)
    return "fp_" + hashlib.sha256(repr(parts).encode()).hexdigest()[:10]
