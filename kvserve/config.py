"""The engine's settings, checked once."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from kvserve.adapters.adapter_file import LoraModule

LLAMA_CONTEXT_PAD = 256  # llama.cpp rounds n_ctx up to this many cells (src/llama-context.cpp)
LLAMA_MAX_SEQ = 256  # sequence ids per context (src/llama-cparams.h)
WATTS_PER_CORE = 3.5  # assumed: a logical core at full load; Cloud Carbon Footprint's AWS average
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
    disk_tier_bytes: int = 0
    disk_tier_dir: Path | None = None
    prefix_cache: bool = True
    lora_modules: tuple[LoraModule, ...] = ()
    max_loras: int = 8
    attention: str = "paged"  # or "stock"; both fall back to stock where they do not fit
    products: str = "packed"  # or "stock"
    packed_bytes: int = 0  # for copies of weights as `packed` wants them; 0 packs in every step
    threads: int = field(default_factory=available_cores)
    watts_per_core: float = WATTS_PER_CORE  # of the energy estimate, where RAPL cannot be read

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
        if self.packed_bytes < 0:
            raise ValueError(f"packed weights of {self.packed_bytes} bytes: choose at least 0")
        if self.disk_tier_bytes < 0:
            raise ValueError(f"disk tier of {self.disk_tier_bytes} bytes: choose at least 0")
        if self.disk_tier_bytes and not (self.disk_tier_dir and self.prefix_cache):
            raise ValueError("the disk tier needs a folder, and the prefix cache")
        if self.max_batch_tokens < self.max_seqs:
            raise ValueError(
                f"batch tokens {self.max_batch_tokens} are fewer than max seqs {self.max_seqs}:"
                " every running sequence needs one token of the step's budget"
            )
        if self.max_model_len is not None and self.max_model_len < 2:
            raise ValueError(f"max model length {self.max_model_len}: choose at least 2 tokens")
        if not 0 < self.watts_per_core < 1000:
            raise ValueError(
                f"watts per core {self.watts_per_core}: choose more than 0, below 1000"
            )
        if self.max_loras < len(self.lora_modules):
            raise ValueError(
                f"{len(self.lora_modules)} LoRA modules: --max-loras allows {self.max_loras}"
            )
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
