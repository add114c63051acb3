"""How long KV blocks live, rest and wait to be used again, watched on a sample of them."""

import time
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from kvserve.kv.block import Block

SAMPLE_EVERY = 8  # watched allocations: a clock reading for each would cost as much as the rest
KEPT_GAPS = 8  # as vLLM: the latest uses only
KEPT_LIVES = 1024


class Life(NamedTuple):
    """A block from its allocation until its content was given up, in seconds."""

    lifetime_s: float
    idle_s: float  # since its last use
    gaps_s: list[float]  # between uses


class BlockWatch:
    """Told of every allocation, use and release; remembers a sample."""

    def __init__(
        self, *, every: int = SAMPLE_EVERY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._every, self._clock = every, clock
        self._taken = 0
        self._uses: dict[int, deque[float]] = {}
        self._born: dict[int, float] = {}
        self._ended: deque[Life] = deque(maxlen=KEPT_LIVES)

    def taken(self, block: Block) -> None:
        """A sequence got an empty block."""
        self._taken += 1
        if self._taken % self._every == 0:
            now = self._clock()
            self._born[block.id] = now
            self._uses[block.id] = deque([now], maxlen=KEPT_GAPS + 1)

    def used(self, block: Block) -> None:
        """One more sequence uses what the block holds."""
        if block.id in self._uses:
            self._uses[block.id].append(self._clock())

    def cleared(self, block: Block) -> None:
        """The block's content was evicted or dropped."""
        uses = self._uses.pop(block.id, None)
        if uses is not None:
            now, last = self._clock(), list(uses)
            gaps = [later - sooner for sooner, later in pairwise(last)]
            self._ended.append(Life(now - self._born.pop(block.id), now - last[-1], gaps))

    def take(self) -> list[Life]:
        """Lives that have ended, once."""
        taken = list(self._ended)
        self._ended.clear()
        return taken
