"""Who holds which KV block now: one picture of the engine, taken on its thread between two steps.

It names sequences by number and never holds their text. Blocks are two arrays, one value a block:
`states` (uint8, see `State`) and `owners` (uint16, an index into `groups`, the sets of sequences
that share blocks). They are few, since sharers hold paths in one tree, so the size is bounded by
the pool: about 4 bytes a block as base64.
"""

import asyncio
import sys
import time
from array import array
from base64 import b64encode
from collections import Counter
from enum import IntEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from kvserve.engine.sequence import Sequence
from kvserve.errors import NotReady
from kvserve.observe.recent import Second

if TYPE_CHECKING:
    from kvserve.engine.engine import Engine
    from kvserve.engine.scheduler import Scheduler
    from kvserve.kv.block_manager import BlockManager

FRESH_S = 0.25  # viewers within this time see the same picture
DUTY = 20  # and the engine spends at most a 20th of its time on pictures
PATIENCE_S = 2.0  # a step may be long; then the last picture must do
SHOWN_WAITING = 100
MAX_GROUPS = 0xFFFF


class State(IntEnum):
    """Of a block. Pinned means cached, and a swapped sequence waits for it: evicted last."""

    FREE = 0
    PRIVATE = 1
    SHARED = 2
    CACHED = 3
    PINNED = 4


def take(engine: "Engine") -> dict[str, Any]:
    """The picture, as JSON takes it. Call it on the engine's thread, between steps."""
    scheduler, blocks = engine.scheduler, engine.blocks
    kernels, plan, metrics = engine.runner.kernels, engine.runner.plan, engine.metrics
    pool = scheduler.swapper.pool
    now = time.monotonic()
    return {
        "ts": time.time(),
        "model": engine.model_name,
        "attention": {"kind": kernels.attention.kind, "reason": kernels.attention.reason},
        "products": {"kind": kernels.products.kind, "reason": kernels.products.reason},
        "max_model_len": engine.runner.max_model_len,
        "max_seqs": scheduler.max_seqs,
        "block_size": blocks.block_size,
        "num_blocks": blocks.num_blocks,
        "block_bytes": plan.kv // blocks.num_blocks,
        **_blocks(blocks, scheduler.running),
        "usage": blocks.usage,
        "waste": blocks.waste,
        "sequences": [_sequence(seq, now) for seq in scheduler.running],
        "waiting": [
            _sequence(seq, now) for seq in scheduler.line.first(SHOWN_WAITING, scheduler.clock())
        ],
        "queues": _queues(scheduler, now),
        "swap": {
            "used": pool.used,
            "capacity": pool.capacity,
            "swapped_out": scheduler.num_swapped_out,
            "swapped_in": scheduler.num_swapped_in,
        },
        "disk": _disk(blocks),
        "rates": metrics.recent.rates()._asdict(),
        "energy": {
            "joules": engine.energy.total,
            "source": engine.energy.meter.source,
            "detail": engine.energy.meter.detail,
        },
    }


def _blocks(blocks: "BlockManager", running: list[Sequence]) -> dict[str, Any]:
    """States, owners and what is only partly filled; 100,000 blocks take some 70 ms."""
    states = bytearray(blocks.num_blocks)
    owners = array("H", bytes(2 * blocks.num_blocks))
    names = {seq.slot: seq.id for seq in running}
    groups: list[list[int]] = [[]]  # 0: nobody
    numbers: dict[int | frozenset[int], int] = {}
    partial: list[tuple[int, int]] = []
    parked, size = blocks.cache.parked, blocks.block_size
    for block in blocks.blocks:  # a loop over the whole pool in a running engine: kept lean
        slots = block.slots
        if slots:
            key = next(iter(slots)) if len(slots) == 1 else frozenset(slots)
            number = numbers.get(key)
            if number is None and len(groups) < MAX_GROUPS:
                number = numbers[key] = len(groups)
                groups.append(sorted(names.get(slot, -1) for slot in slots))
            states[block.id] = State.PRIVATE if len(slots) == 1 else State.SHARED
            owners[block.id] = number or 0
        elif block.holders:
            pinned = parked and parked.get(block.key or b"")
            states[block.id] = State.PINNED if pinned else State.CACHED
        else:
            continue
        if len(block.cells) < size:
            partial.append((block.id, len(block.cells)))
    counts = Counter(states)
    return {
        "states": b64encode(states).decode(),
        "owners": b64encode(_little_endian(owners)).decode(),
        "groups": groups,
        "partial": partial,
        "counts": {state.name.lower(): counts[state] for state in State},
    }


def _little_endian(values: "array[int]") -> bytes:
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _sequence(seq: Sequence, now: float) -> dict[str, Any]:
    return {
        "id": seq.id,
        "client": _alias(seq.client),
        "priority": seq.priority,
        "state": "swapped" if seq.span else "preempted" if _is_back(seq) else seq.status.value,
        "prompt": seq.num_prompt_tokens,
        "tokens": len(seq.tokens),
        "limit": seq.num_prompt_tokens + seq.params.max_tokens,
        "computed": seq.num_computed,
        "cached": seq.num_cached,
        "blocks": len(seq.block_table),
        "swapped_tokens": seq.span.end - seq.span.start if seq.span else 0,
        "swapped_bytes": seq.span.size if seq.span else 0,
        "adapter": seq.adapter.rpartition("@")[0],
        "age_s": round(now - seq.arrival, 3),
        "joules": round(seq.joules, 3),
    }


def _is_back(seq: Sequence) -> bool:
    """Preempted by recompute, and in line again."""
    return seq.was_preempted and seq.slot is None


def _alias(client: str) -> str:
    """A name that tells clients apart; the client itself may be an API key or an address."""
    return blake2b(client.encode(), digest_size=3).hexdigest() if client else ""


def _disk(blocks: "BlockManager") -> dict[str, int] | None:
    """Bytes and hits of the disk tier, where there is one."""
    tier = blocks.cache.tier
    if tier is None:
        return None
    return {
        "used": tier.store.num_bytes,
        "capacity": tier.store.capacity,
        "queried": tier.num_queried,
        "restored": tier.num_restored,
    }


def _queues(scheduler: "Scheduler", now: float) -> list[dict[str, Any]]:
    """Running and waiting by priority class, first served first."""
    rows: dict[int, dict[str, Any]] = {}
    for name, sequences in (("running", scheduler.running), ("waiting", scheduler.waiting)):
        for seq in sequences:
            row = rows.setdefault(
                seq.priority,
                {"priority": seq.priority, "running": 0, "waiting": 0, "longest_wait_s": 0.0},
            )
            row[name] += 1
            if name == "waiting":
                row["longest_wait_s"] = round(max(row["longest_wait_s"], now - seq.arrival), 1)
    return [rows[priority] for priority in sorted(rows)]


class BlockMap:
    """The picture for any number of viewers: taken once, shared until it is stale."""

    def __init__(self, engine: "Engine") -> None:
        self.engine = engine
        self._picture: dict[str, Any] = {}
        self._history: list[Second] = []
        self._stale_at = 0.0
        self._pending: asyncio.Future[None] | None = None

    async def latest(self, *, since: float = 0.0) -> dict[str, Any]:
        """The picture, with the seconds after `since` under `history`.

        While a step takes longer than `PATIENCE_S` it is the last one; `ts` says from when.

        Raises:
            NotReady: there is no picture yet.
        """
        if time.monotonic() >= self._stale_at:
            await self._renew()
        if not self._picture:
            raise NotReady(f"the engine was busy for {PATIENCE_S:.0f} s with one step")
        rows = [second for second in self._history if second.at > since]
        names = Second.__slots__
        history = {name: [getattr(row, name) for row in rows] for name in names}
        return {**self._picture, "history": history}

    async def _renew(self) -> None:
        if self._pending is None or self._pending.done():
            self._pending = asyncio.wrap_future(self.engine.inquire(self._look))
        pending = self._pending
        done, _ = await asyncio.wait([pending], timeout=PATIENCE_S)
        if done:
            pending.result()

    def _look(self) -> None:
        started = time.monotonic()
        picture, history = take(self.engine), self.engine.metrics.recent.since(0)
        ended = time.monotonic()
        self._picture, self._history = picture, history
        self._stale_at = ended + max(FRESH_S, DUTY * (ended - started))
