"""What happened in each of the last seconds: the figures behind rates and small charts."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

KEEP_S = 300
RATE_S = 10  # rates are means over this long: long enough to be steady, short enough to be now
ENERGY_S = 60


@dataclass(slots=True)
class Second:
    """Sums over one second, and the levels at its end (0…1); `at` is in seconds since 1970.

    `prompt` are prompt tokens computed for the first time, `cached` those found instead.
    """

    at: int
    prompt: int = 0
    cached: int = 0
    generated: int = 0
    queried: int = 0
    joules: float = 0.0
    usage: float = 0.0
    waste: float = 0.0
    running: int = 0
    waiting: int = 0

    @property
    def tokens(self) -> int:
        """Tokens that a client got or was spared: what energy is held against."""
        return self.prompt + self.cached + self.generated


class Rates(NamedTuple):
    """Means of the recent past; None where nothing happened that they could be made of."""

    prompt_tokens_s: float
    generation_tokens_s: float
    hit_rate: float | None
    watts: float
    joules_per_1000_tokens: float | None


class Recent:
    """The last `KEEP_S` seconds, one entry for each in which something happened."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._start = clock()
        self._seconds: deque[Second] = deque(maxlen=KEEP_S)

    @property
    def now(self) -> Second:
        """The second that runs; levels carry over from the one before."""
        at = int(self._clock())
        last = self._seconds[-1] if self._seconds else Second(at - 1)
        if last.at < at:
            last = _next(last, at)
            self._seconds.append(last)
        return last

    def since(self, start: float) -> list[Second]:
        """Every complete second after `start`, empty ones too, oldest first."""
        end = self.now.at
        known = {second.at: second for second in self._seconds}
        first = max(int(start) + 1, end - KEEP_S + 1, int(self._start))
        before = next((s for s in reversed(self._seconds) if s.at < first), Second(first))
        rows: list[Second] = []
        for at in range(first, end):
            before = known.get(at) or _next(before, at)
            rows.append(before)
        return rows

    def rates(self) -> Rates:
        """Tokens and watts over `RATE_S` seconds; hit rate and joules per 1,000 over `ENERGY_S`."""
        now = self._clock()
        long = list(takewhile(lambda s: s.at > now - ENERGY_S, reversed(self._seconds)))
        short = [second for second in long if second.at > now - RATE_S]
        spell = max(1.0, min(RATE_S, now - self._start))
        queried = sum(second.queried for second in long)
        tokens = sum(second.tokens for second in long)
        joules = sum(second.joules for second in long)
        return Rates(
            prompt_tokens_s=sum(second.prompt for second in short) / spell,
            generation_tokens_s=sum(second.generated for second in short) / spell,
            hit_rate=sum(second.cached for second in long) / queried if queried else None,
            watts=sum(second.joules for second in short) / spell,
            joules_per_1000_tokens=1000 * joules / tokens if tokens else None,
        )


def _next(last: Second, at: int) -> Second:
    """A second in which nothing has happened yet: the levels stay."""
    return Second(
        at,
        usage=last.usage,
        waste=last.waste,
        running=last.running,
        waiting=last.waiting,
    )
