"""Names of computed content: hashes chained from block to block, and stretches of such chains."""

from collections.abc import Sequence as Seq
from hashlib import blake2b
from typing import NamedTuple

import numpy as np


def root_key(adapter: str, salt: str) -> bytes:
    """Start of every chain of this adapter and tenant; other roots never meet."""
    return blake2b(f"{len(adapter)}:{adapter}:{salt}".encode(), digest_size=16).digest()


def chain_key(parent: bytes, tokens: Seq[int]) -> bytes:
    """Hash of a block and everything before it."""
    data = np.asarray(tokens, dtype=np.int32).tobytes()
    return blake2b(parent + data, digest_size=16).digest()


class Segment(NamedTuple):
    """Full blocks from position `start` on, of every sequence whose chain passes `key`.

    `parent` is the key of the block before, or the root; with the tokens it proves `key`.
    """

    key: bytes
    parent: bytes
    start: int
    tokens: tuple[int, ...]

    @property
    def end(self) -> int:
        return self.start + len(self.tokens)

    def is_genuine(self, block_size: int) -> bool:
        """Whether tokens and parent chain to the key."""
        key = self.parent
        for start in range(0, len(self.tokens), block_size):
            key = chain_key(key, self.tokens[start : start + block_size])
        return key == self.key
