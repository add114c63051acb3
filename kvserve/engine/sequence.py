"""One sequence of tokens on its way through the engine."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from kvserve.errors import ensure
from kvserve.kv.block import Block
from kvserve.kv.segment_file import Stored
from kvserve.kv.swap import Span

if TYPE_CHECKING:
    from kvserve.text.grammar_compiler import GrammarState


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
    """How to choose tokens. Penalties look at the generated text only; `grammar` is its start."""

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
    grammar: "GrammarState | None" = None
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None  # how many alternatives to report; None reports nothing

    @property
    def penalises(self) -> bool:
        penalties = (self.repetition_penalty, self.frequency_penalty, self.presence_penalty)
        return penalties != (1.0, 0.0, 0.0)

    @property
    def takes_largest(self) -> bool:
        """Whether the choice is the largest logit as it is."""
        return self.temperature == 0 and not self.logit_bias and not self.penalises


class Delta(NamedTuple):
    """What one step added to a sequence; the last one has `finish`, and `error` if it failed."""

    text: str
    finish: FinishReason | None
    error: str | None
    num_completion_tokens: int
    num_cached_tokens: int = 0
    logprobs: "tuple[TokenLogprob, ...]" = ()
    joules: float = 0.0


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
    sequence id while running, `span` the part of its KV that waits in host memory, `stored` what
    was read from disk for it. `siblings` are further choices of the same prompt that start as forks
    of this one.
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
    num_external: int = 0  # of those cached, restored from disk
    num_reached: int = 0  # prompt positions computed at least once
    joules: float = 0.0
    block_table: list[Block] = field(default_factory=list)
    block_keys: list[bytes] = field(default_factory=list)
    slot: int | None = None
    span: Span | None = None
    stored: tuple[Stored, ...] = ()
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
