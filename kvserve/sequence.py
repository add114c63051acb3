"""One sequence of tokens on its way through the engine."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from kvserve.block import Block
from kvserve.errors import ensure
from kvserve.swap import Span


class SequenceStatus(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


class FinishReason(StrEnum):
    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to choose tokens. Penalties look at the generated text only; `grammar` is GBNF."""

    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    grammar: str | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None  # how many alternatives to report; None reports nothing


class Delta(NamedTuple):
    """What one step added to a sequence; the last one has `finish`, and `error` if it failed."""

    text: str
    finish: FinishReason | None
    error: str | None
    num_completion_tokens: int
    num_cached_tokens: int = 0
    logprobs: "tuple[TokenLogprob, ...]" = ()


class TokenLogprob(NamedTuple):
    """A chosen token, its log-probability, and the most likely alternatives, best first."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


Sink = Callable[[Delta], None]


class Choosing(NamedTuple):
    """One continuation to be written: how to choose its tokens, where to send them."""

    params: SamplingParams
    sink: Sink


class Origin(NamedTuple):
    """Whose request it is: `client` for fairness; prefixes are shared only under one `cache_salt`."""

    client: str = ""
    cache_salt: str = ""


NOBODY = Origin()


@dataclass(eq=False, slots=True)
class Sequence:
    """Prompt plus generated tokens, and how many of them have their KV computed.

    `tokens[num_computed:]` is what the model has not seen yet: the whole prompt at first, one
    sampled token while decoding, everything again after a preemption by recompute. `priority` is
    the class asked for (lower first); `level` is what ageing made of it when admitted, and `rank`
    orders what runs: lower is served first, higher is preempted first. `slot` is llama.cpp's
    sequence id while running, `span` the part of its KV that waits in host memory. `siblings` are
    further choices of the same prompt that start as forks of this one.
    """

    id: int
    tokens: list[int]
    params: SamplingParams
    sink: Sink
    priority: int = 0
    client: str = ""
    cache_salt: str = ""
    adapter: str = ""
    arrival: float = field(default_factory=time.monotonic)
    num_prompt_tokens: int = field(init=False)
    num_computed: int = 0
    num_cached: int = 0
    block_table: list[Block] = field(default_factory=list)
    block_keys: list[bytes] = field(default_factory=list)
    slot: int | None = None
    span: Span | None = None
    status: SequenceStatus = SequenceStatus.WAITING
    level: int = field(init=False)
    siblings: "list[Sequence]" = field(default_factory=list)
    was_preempted: bool = False
    sampler: Any = None
    text: Any = None
    started: float | None = None
    first_token: float | None = None
    last_token: float | None = None

    def __post_init__(self) -> None:
        self.num_prompt_tokens = len(self.tokens)
        self.level = self.priority

    @property
    def rank(self) -> tuple[int, int]:
        return (self.level, self.id)

    @property
    def held_slot(self) -> int:
        """The slot of a running sequence."""
        ensure(self.slot is not None, f"sequence {self.id} has no slot")
        return self.slot  # type: ignore[return-value]  # as just ensured

    @property
    def num_uncomputed(self) -> int:
        return len(self.tokens) - self.num_computed

    @property
    def num_completion_tokens(self) -> int:
        return len(self.tokens) - self.num_prompt_tokens

    @property
    def reusable_limit(self) -> int:
        """Positions that may come from cache: all but the last token, whose logits are needed; no
        more than the shared part where the rest waits in host memory."""
        return self.span.start if self.span else len(self.tokens) - 1

    @property
    def is_decoding(self) -> bool:
        return self.num_computed > 0 and self.num_uncomputed == 1

    @property
    def is_finished(self) -> bool:
        return self.status is SequenceStatus.FINISHED
