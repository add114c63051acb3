"""One sequence of tokens on its way through the engine."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple


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


class Delta(NamedTuple):
    """What one step added to a sequence; the last one has `finish`, and `error` if it failed."""

    text: str
    finish: FinishReason | None
    error: str | None
    num_completion_tokens: int


Sink = Callable[[Delta], None]


@dataclass(eq=False, slots=True)
class Sequence:
    """Prompt plus generated tokens, and how many of them have their KV computed.

    `tokens[num_computed:]` is what the model has not seen yet: the whole prompt at first, one
    sampled token while decoding, everything again after a preemption. `rank` orders sequences:
    lower is served first, higher is preempted first. `slot` is llama.cpp's sequence id while
    running.
    """

    id: int
    tokens: list[int]
    params: SamplingParams
    sink: Sink
    priority: int = 0
    arrival: float = field(default_factory=time.monotonic)
    num_prompt_tokens: int = field(init=False)
    num_computed: int = 0
    block_table: list[int] = field(default_factory=list)
    slot: int | None = None
    status: SequenceStatus = SequenceStatus.WAITING
    sampler: Any = None
    text: Any = None
    started: float | None = None
    last_token: float | None = None

    def __post_init__(self) -> None:
        self.num_prompt_tokens = len(self.tokens)

    @property
    def rank(self) -> tuple[int, int]:
        return (self.priority, self.id)

    @property
    def num_uncomputed(self) -> int:
        return len(self.tokens) - self.num_computed

    @property
    def num_completion_tokens(self) -> int:
        return len(self.tokens) - self.num_prompt_tokens

    @property
    def is_decoding(self) -> bool:
        return self.num_computed > 0 and self.num_uncomputed == 1

    @property
    def is_finished(self) -> bool:
        return self.status is SequenceStatus.FINISHED
