"""Measured at start: how fast this machine prefills and copies KV."""

import time

from kvserve.engine.model_runner import ModelRunner
from kvserve.engine.scheduler import Chunk
from kvserve.engine.sequence import SamplingParams, Sequence
from kvserve.kv.kv_memory import KVMemory
from kvserve.kv.swap import PAGE, SPAN_OVERHEAD, CostModel


def calibrate(runner: ModelRunner, memory: KVMemory) -> CostModel:
    """Run the largest batch the pool allows, save and restore its KV; leaves the cache empty.

    It also touches every page that a full step uses, so that memory does not grow under load.
    """
    size = min(runner.config.max_batch_tokens, runner.num_blocks * runner.config.block_size)
    size = max(2, size)
    seq = Sequence(
        id=-1, tokens=[0] * size, params=SamplingParams(), sink=lambda _delta: None, slot=0
    )
    started = time.perf_counter()
    runner.compute([Chunk(seq, 0, size)])
    prefill_s = (time.perf_counter() - started) / size
    copy_s = _copy_speed(runner, memory, size)
    memory.calibrate(size)
    return CostModel(prefill_s_per_token=prefill_s, copy_s_per_byte=copy_s)


def _copy_speed(runner: ModelRunner, memory: KVMemory, size: int) -> float:
    """Seconds per byte of a swap out and in; 0 where there is no pool to copy to."""
    offset = 0
    num_bytes = size * runner.info.kv_bytes_per_token + SPAN_OVERHEAD + PAGE
    if num_bytes > memory.pool.capacity:
        return 0.0
    started = time.perf_counter()
    copied = memory.copy_out(0, 0, size, offset)
    memory.clear()
    memory.copy_in(0, 0, size, offset)
    return (time.perf_counter() - started) / copied
