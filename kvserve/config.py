"""The engine's settings, checked once."""

import os
from dataclasses import dataclass, field
from pathlib import Path

LLAMA_CONTEXT_PAD = 256  # llama.cpp rounds n_ctx up to this many cells (src/llama-context.cpp)
LLAMA_MAX_SEQ = 256  # sequence ids per context (src/llama-cparams.h)
MAX_SEQS = 192  # the other ids hold cached prefixes, one each; one is the scratch id of swapping


def available_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Sizes and limits of one engine.

    `kv_blocks` None means: sized from free memory at start. `max_batch_tokens` is the token budget
    of one step, decode and prefill together; smaller values keep streams smooth, larger ones
    prefill faster. `max_model_len` None means: what the model was trained for, as far as the block
    pool holds it.
    """

    model_path: Path
    block_size: int = 16
    kv_blocks: int | None = None
    max_seqs: int = 64
    max_batch_tokens: int = 256
    max_model_len: int | None = None
    max_waiting: int = 1024
    swap_bytes: int = 0
    prefix_cache: bool = True
    attention: str = "paged"  # or "stock"; paged falls back to stock where it does not fit
    threads: int = field(default_factory=available_cores)

    def __post_init__(self) -> None:
        if not 1 <= self.block_size <= LLAMA_CONTEXT_PAD:
            raise ValueError(f"block size {self.block_size}: choose 1…{LLAMA_CONTEXT_PAD} tokens")
        if self.kv_blocks is not None and self.kv_blocks < 1:
            raise ValueError(f"kv blocks {self.kv_blocks}: choose 'auto' or at least 1")
        if not 1 <= self.max_seqs <= MAX_SEQS:
            raise ValueError(
                f"max seqs {self.max_seqs}: choose 1…{MAX_SEQS}; llama.cpp has {LLAMA_MAX_SEQ}"
                " sequence ids, and cached prefixes need the others"
            )
        if self.swap_bytes < 0:
            raise ValueError(f"swap pool of {self.swap_bytes} bytes: choose at least 0")
        if self.max_batch_tokens < self.max_seqs:
            raise ValueError(
                f"batch tokens {self.max_batch_tokens} are fewer than max seqs {self.max_seqs}:"
                " every running sequence needs one token of the step's budget"
            )
        if self.max_model_len is not None and self.max_model_len < 2:
            raise ValueError(f"max model length {self.max_model_len}: choose at least 2 tokens")
        if self.threads < 1:
            raise ValueError(f"threads {self.threads}: choose at least 1")

    @property
    def scratch_id(self) -> int:
        """The sequence id through which private spans are saved and restored."""
        return self.max_seqs

    @property
    def holder_ids(self) -> range:
        """The sequence ids that may hold cached prefixes."""
        first = self.max_seqs + 1
        return range(first, LLAMA_MAX_SEQ if self.prefix_cache else first)
