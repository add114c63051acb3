"""Who is admitted next: by class with ageing, then by fairness between clients, then by arrival."""

from collections import Counter, defaultdict
from heapq import nsmallest

from kvserve.engine.sequence import Sequence

AGEING_S = 20.0  # assumed: a class of waiting; batch passes fresh chat after a minute


class WaitingLine:
    """Sequences in line, and how many tokens each client has been served.

    A waiting sequence rises one class every `AGEING_S`, so nobody waits for ever. Within a class
    those that were preempted go first, then the clients served least. A client that comes back
    after a pause starts level with the least served of those present, not with a credit.
    """

    def __init__(self) -> None:
        self.sequences: list[Sequence] = []
        self.served: defaultdict[str, int] = defaultdict(int)
        self._present: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self.sequences)

    def arrive(self, seq: Sequence) -> None:
        """A new sequence joins the line."""
        self.enter(seq)
        self.sequences.append(seq)

    def enter(self, seq: Sequence) -> None:
        """Count a sequence that does not need to wait."""
        if not self._present[seq.client]:
            others = [self.served[client] for client in self._present if client != seq.client]
            self.served[seq.client] = max(self.served[seq.client], min(others, default=0))
        self._present[seq.client] += 1

    def depart(self, seq: Sequence) -> None:
        """A sequence has finished; a client without any is forgotten when nobody is present."""
        self._present[seq.client] -= 1
        if not self._present[seq.client]:
            del self._present[seq.client]
        if not self._present:
            self.served.clear()

    def serve(self, seq: Sequence, num_tokens: int) -> None:
        """Charge a client for computed tokens."""
        self.served[seq.client] += num_tokens

    def level(self, seq: Sequence, now: float) -> int:
        """The class that the sequence has reached by waiting."""
        return seq.priority - int(max(0.0, now - seq.arrival) / AGEING_S)

    def first(self, count: int, now: float) -> list[Sequence]:
        """The next `count` to be admitted, in order."""
        return nsmallest(
            count,
            self.sequences,
            key=lambda s: (
                self.level(s, now),
                not s.was_preempted,
                self.served[s.client],
                s.id,
            ),
        )
