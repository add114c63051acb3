"""The proof that our accounts and llama.cpp's agree."""

from kvserve.config import LLAMA_MAX_SEQ
from kvserve.engine.scheduler import Scheduler
from kvserve.errors import ensure
from kvserve.kv.kv_memory import KVMemory


def check_integrity(scheduler: Scheduler, memory: KVMemory) -> None:
    """Prove that blocks, slots and llama.cpp's cells agree (engine idle, or between two steps).

    Raises:
        AccountsBroken: what does not add up.
    """
    scheduler.check_integrity()
    held = dict(scheduler.blocks.holdings(scheduler.running))
    for holder in range(LLAMA_MAX_SEQ):
        cells = memory.tokens_held(holder)
        ensure(
            cells == held.get(holder, 0),
            f"sequence id {holder}: {cells} cells, {held.get(holder, 0)} expected",
        )
    used = memory.cells_used(sum(seq.num_computed for seq in scheduler.running))
    expected = scheduler.blocks.num_cells
    ensure(used == expected, f"{used} cells are in use, {expected} expected")
