"""A span of `block_size` positions: what is counted, shared, hashed, kept and evicted."""

from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class Block:
    """One block of the pool. Its references are exactly llama.cpp's: the ids that hold its cells.

    `slots` are running sequences, `holders` ids that keep finished prefixes. `cells` names each
    written position; a copy-on-write copy starts with the names of its origin, since the cells
    stay shared. A registered block is full, has a `key` (the chained hash) and hangs under its
    `parent` in the prefix tree; `leaf_of` is the holder whose chain ends here.
    """

    id: int
    slots: set[int] = field(default_factory=set)
    holders: set[int] = field(default_factory=set)
    cells: list[int] = field(default_factory=list)
    key: bytes | None = None
    tokens: tuple[int, ...] = ()
    parent: "Block | None" = None
    depth: int = 0
    num_children: int = 0
    leaf_of: int | None = None
    last_used: int = 0
    reuses: int = 0  # later requests that began with it

    @property
    def ref_count(self) -> int:
        return len(self.slots) + len(self.holders)

    @property
    def is_cached_only(self) -> bool:
        """Kept for later, used by nobody now."""
        return bool(self.holders) and not self.slots
