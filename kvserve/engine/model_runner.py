"""The model, its KV cache and one llama_decode per step."""

import ctypes
import logging
import os
from collections.abc import Callable
from collections.abc import Sequence as Seq
from typing import Any, NamedTuple

import numpy as np

from kvserve.adapters.adapters import Adapters
from kvserve.config import LLAMA_CONTEXT_PAD, EngineConfig
from kvserve.engine.batch import Batch
from kvserve.engine.sampler import Sampler
from kvserve.engine.scheduler import Chunk
from kvserve.engine.sequence import SamplingParams, Sequence
from kvserve.errors import ModelUnavailable, SamplingFailed, StepFailed
from kvserve.kernels.kernels import Kernels
from kvserve.kv import memory
from kvserve.native import lib, listening
from kvserve.text.tokenizer import Tokenizer

log = logging.getLogger("kvserve")

FLASH_ATTN_ENABLED = (
    1  # enum llama_flash_attn_type; without it stock attention skips no masked cell
)
KV_BYTES_PER_VALUE = 2  # F16


class ModelInfo(NamedTuple):
    """Facts of the loaded model; sizes in bytes."""

    context_train: int
    weights: int
    kv_bytes_per_token: int
    chat_template: str | None
    num_experts: int = 0


class ModelRunner:
    """Loads a GGUF and computes chunks; the cache is one unified pool of `num_blocks` blocks.

    Only the engine's thread may call it, except for `tokenizer`, which only reads.

    Raises:
        ModelUnavailable: no such file, not a model llama.cpp can load, or not enough memory.
    """

    def __init__(self, config: EngineConfig, *, should_stop: Callable[[], bool] = bool) -> None:
        self.config = config
        self.context: Any = None
        self.model = _load_model(config, should_stop)
        try:
            self._set_up(config)
        except BaseException:
            self.close()
            raise

    def _set_up(self, config: EngineConfig) -> None:
        self.info = _model_info(self.model)
        self.tokenizer = Tokenizer(lib.llama_model_get_vocab(self.model))
        self.max_model_len = min(
            config.max_model_len or self.info.context_train, self.info.context_train
        )
        self.batch = Batch(config.max_batch_tokens)
        self.kernels = Kernels(
            attention=config.attention,
            products=config.products,
            threads=config.threads,
            packed_bytes=memory.packed_bytes(
                config.packed_bytes, available=memory.available_bytes()
            ),
        )
        self.num_blocks = self._choose_blocks()
        self.max_model_len = min(self.max_model_len, self.num_blocks * config.block_size)
        self.context, compute = self._new_context(self.num_blocks * config.block_size)
        self.adapters = Adapters(self.model, self.context, max_loras=config.max_loras)
        self._warm_up()
        self.kernels.settle()
        self.plan = self._memory_plan(compute)

    def _choose_blocks(self) -> int:
        """Blocks of the pool: what was asked for, or what free memory allows."""
        config = self.config
        if config.kv_blocks is not None:
            return config.kv_blocks
        probe, compute = self._new_context(config.max_batch_tokens)
        lib.llama_free(probe)
        return memory.auto_blocks(
            bytes_per_token=self.info.kv_bytes_per_token,
            block_size=config.block_size,
            max_tokens=config.max_seqs * self.max_model_len,
            available=memory.available_bytes()
            - compute
            - min(self.kernels.packed_room, self.info.weights),
        )

    def _new_context(self, cells: int) -> tuple[Any, int]:
        """A context for so many cells, and the bytes llama.cpp set aside for its worst batch."""
        params = lib.llama_context_default_params()
        params.n_ctx = -(-cells // LLAMA_CONTEXT_PAD) * LLAMA_CONTEXT_PAD
        params.n_batch = params.n_ubatch = self.config.max_batch_tokens
        params.n_seq_max = self.config.max_seqs + 1  # one is the scratch id of swapping
        params.n_threads = params.n_threads_batch = self.config.threads
        params.flash_attn_type = FLASH_ATTN_ENABLED
        params.kv_unified = True
        params.no_perf = True
        self.kernels.install(params)
        buffers: list[int] = []
        with listening(lambda line: buffers.extend(memory.buffer_bytes(line))):
            context = lib.llama_init_from_model(self.model, params)
        if not context:
            need = cells * self.info.kv_bytes_per_token
            raise ModelUnavailable(
                f"llama.cpp could not make a context of {cells} tokens ({need >> 20} MiB of KV"
                f" cache, {memory.available_bytes() >> 20} MiB free): try a smaller --kv-blocks"
            )
        return context, sum(buffers)

    def _warm_up(self) -> None:
        """A token and a batch through the model: the first request does not pay for page faults,
        and the kernels see the nodes that they may take over."""
        tokens = [0] * (1 + min(8, self.config.max_batch_tokens))
        params = SamplingParams()
        seq = Sequence(id=-1, tokens=tokens, params=params, sink=lambda _delta: None, slot=0)
        self.compute([Chunk(seq, 0, 1)])
        self.compute([Chunk(seq, 1, len(tokens) - 1)])
        lib.llama_memory_clear(lib.llama_get_memory(self.context), False)

    def _memory_plan(self, compute: int) -> memory.MemoryPlan:
        kv = self.num_blocks * self.config.block_size * self.info.kv_bytes_per_token
        return memory.MemoryPlan(
            weights=self.info.weights,
            kv=kv,
            packed=self.kernels.packed,
            compute=compute,
            num_blocks=self.num_blocks,
            block_size=self.config.block_size,
        )

    def new_sampler(self, params: SamplingParams) -> Sampler:
        """The request's own sampler; the caller closes it."""
        return Sampler(params, vocab_size=self.tokenizer.size)

    def compute(self, chunks: Seq[Chunk]) -> list[int | None]:
        """Compute all chunks, of one adapter, in one batch; returns for each the row to sample from, or None while
        its prompt is incomplete. Rows are valid until the next call.

        Raises:
            StepFailed: llama.cpp refused or failed; the chunks' sequences must be dropped.
        """
        rows = self.batch.fill(chunks)
        self.adapters.use(chunks[0].seq.adapter)
        self._decode()
        return rows

    def _decode(self) -> None:
        code = lib.llama_decode(self.context, self.batch.native())
        if code != 0:
            reason = {1: "no room in the KV cache", 2: "aborted", -1: "invalid batch"}
            raise StepFailed(
                f"llama_decode of {self.batch.size} tokens failed with code {code}"
                f" ({reason.get(code, 'compute error')})"
            )

    def sample(self, seq: Sequence, row: int) -> int | SamplingFailed:
        """The sequence's next token after batch row `row`, or why there is none."""
        try:
            token: int = seq.sampler.sample(self.context, row)
        except SamplingFailed as error:
            return error
        if not self.tokenizer.is_end(token):
            seq.sampler.accept_under_grammar(token)
        return token

    def logits(self, row: int) -> np.ndarray[Any, Any]:
        """Logits of a batch row; valid until the next step."""
        pointer = lib.llama_get_logits_ith(self.context, row)
        return np.ctypeslib.as_array(pointer, (self.tokenizer.size,))

    def close(self) -> None:
        """Free context and model, and with it its adapters."""
        if self.context is not None:
            lib.llama_free(self.context)
        if hasattr(self, "kernels"):
            self.kernels.close()
        lib.llama_model_free(self.model)


def _load_model(config: EngineConfig, should_stop: Callable[[], bool]) -> Any:
    path = config.model_path
    if not path.is_file():
        raise ModelUnavailable(
            f"no model file at {path}: give the path of a GGUF file with --model"
        )
    params = lib.llama_model_default_params()
    on_progress = lib.llama_progress_callback(lambda _share, _user: not should_stop())
    params.progress_callback = on_progress
    model = lib.llama_model_load_from_file(os.fsencode(path), params)
    if not model:
        raise ModelUnavailable(
            f"llama.cpp could not load {path}: not a GGUF of a supported architecture, damaged, or"
            " too large for memory (the log of kvserve.llama says more)"
        )
    if lib.llama_model_is_recurrent(model) or lib.llama_model_is_hybrid(model):
        raise ModelUnavailable(
            f"{path} is a recurrent or hybrid model; kvserve serves attention models"
        )
    return model


def _model_info(model: Any) -> ModelInfo:
    template = lib.llama_model_chat_template(model, None)
    architecture = _metadata(model, "general.architecture") or ""
    head = lib.llama_model_n_embd(model) // lib.llama_model_n_head(model)
    key = int(_metadata(model, f"{architecture}.attention.key_length") or head)
    value = int(_metadata(model, f"{architecture}.attention.value_length") or head)
    values_per_layer = (key + value) * lib.llama_model_n_head_kv(model)
    return ModelInfo(
        context_train=lib.llama_model_n_ctx_train(model),
        weights=lib.llama_model_size(model),
        kv_bytes_per_token=lib.llama_model_n_layer(model) * values_per_layer * KV_BYTES_PER_VALUE,
        chat_template=template.decode() if template else None,
        num_experts=int(_metadata(model, f"{architecture}.expert_count") or 0),
    )


def _metadata(model: Any, key: str) -> str | None:
    """A value of the GGUF's metadata as text."""
    buffer = ctypes.create_string_buffer(256)
    length = lib.llama_model_meta_val_str(model, key.encode(), buffer, len(buffer))
    return buffer.value.decode() if length >= 0 else None
