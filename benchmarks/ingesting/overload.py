"""More than the product can take, for a while: what is refused, what is stored, and memory.

Floods of large batches over many connections follow one another; each client sends its next batch
at once, whatever the answer to the last one was.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from benchmarks.ingesting.product import Product

BATCH = 5_000
CONNECTIONS = 160
"""Together 800,000 readings on the way, twice what may wait for the disk."""
BATCHES = 300


def overload(
    product: Product,
    load: dict[str, Any],
    *,
    seconds: float,
    post: Callable[[dict[str, Any]], dict[str, Any]],
    count_rows: Callable[[], int],
) -> dict[str, Any]:
    """Flood for at least ``seconds``; memory of the web processes every half second, MiB."""
    memory: list[float] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.5):
            memory.append(product.memory_mib())

    watcher = threading.Thread(target=watch, daemon=True)
    before, answers, floods = count_rows(), Counter[str](), 0
    began = time.monotonic()
    watcher.start()
    while time.monotonic() - began < seconds:
        done = post({**load, "size": BATCH, "count": BATCHES, "connections": CONNECTIONS})
        answers.update(done["statuses"])
        floods += 1
    stop.set()
    watcher.join()
    stored = count_rows() - before
    acknowledged = BATCH * sum(n for status, n in answers.items() if status in ("200", "204"))
    quarter = max(len(memory) // 4, 1)
    return {
        "seconds": round(time.monotonic() - began),
        "floods": floods,
        "answers": dict(answers),
        "acknowledged_readings": acknowledged,
        "stored_readings": stored,
        "web_memory_mib": {
            "first_quarter": round(statistics.median(memory[:quarter])),
            "second_quarter": round(statistics.median(memory[quarter : 2 * quarter])),
            "last_quarter": round(statistics.median(memory[-quarter:])),
            "highest": round(max(memory)),
        },
    }
