"""The passages in scope as a bitmap over their ids."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rag.retrieval.rows import fetch
from rag.retrieval.scope import Scope

_SEGMENTS = """
SELECT string_agg(int8send(s.first_id) || int8send(s.last_id), ''),
       coalesce(sum(s.passages), 0)::bigint, coalesce(sum(s.words), 0)::bigint
FROM rag_segment s JOIN rag_revision r ON r.id = s.revision_id
JOIN rag_document d ON d.id = r.document_id
JOIN rag_collection c ON c.id = d.collection_id WHERE """


@dataclass(frozen=True)
class Allowed:
    """The passages that a search may find, of which there are `passages`.

    `firsts` and `lasts` are runs of ids; `is_in[id - low]` says whether a passage is in one.
    """

    firsts: NDArray[np.int64]
    lasts: NDArray[np.int64]
    passages: int
    words: int

    @property
    def low(self) -> int:
        """The lowest id."""
        return int(self.firsts.min()) if self.passages else 0

    @property
    def mean_words(self) -> float:
        """Words of a passage on average, at least 1."""
        return max(1.0, self.words / self.passages) if self.passages else 1.0

    @cached_property
    def is_in(self) -> NDArray[np.bool_]:
        """Shape (highest id - lowest id + 1)."""
        low = self.low
        size = int(self.lasts.max()) - low + 1 if self.passages else 0
        if not size:
            return np.zeros(0, dtype=np.bool_)
        # Runs do not overlap: 1 where one begins, -1 after its end, summed up.
        steps = np.zeros(size + 1, dtype=np.int8)
        steps[self.firsts - low] += 1
        steps[self.lasts - low + 1] -= 1
        return np.cumsum(steps[:-1], dtype=np.int8).view(np.bool_)

    @cached_property
    def bits(self) -> bytes:
        """The bitmap for `get_bit(bytea, id - low)`."""
        return np.packbits(self.is_in, bitorder="little").tobytes()

    def blocks(self, size: int) -> list[int]:
        """The numbers of the blocks of `size` ids that hold any of them."""
        low, high = self.firsts // size, self.lasts // size
        wide = high > low
        some = [np.unique(low), np.unique(high)]
        some += [np.arange(a, b + 1) for a, b in zip(low[wide], high[wide], strict=True)]
        return [int(block) for block in np.unique(np.concatenate(some))]


def allowed_of(scope: Scope) -> Allowed:
    """The passages in scope, by one query over the revisions."""
    condition, parameters = scope.condition()
    [(packed, passages, words)] = fetch(_SEGMENTS + condition, parameters)
    return Allowed(*runs_of(packed), passages=passages, words=words)


def runs_of(packed: bytes | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last ids of runs, from what `int8send` of both makes."""
    runs = np.frombuffer(packed or b"", dtype=">i8").astype(np.int64).reshape(-1, 2)
    return runs[:, 0], runs[:, 1]
