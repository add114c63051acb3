"""Requests as agents send them, made before the clock starts.

Reading number n is of point n mod ``points``; every (point, time) is its own, and all times lie in
the minute before the start. Ten quantities make one asset, as a server's sensors do.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime

QUANTITIES = (
    "inlet_c",
    "outlet_c",
    "power_w",
    "fan_rpm",
    "cpu_c",
    "gpu_c",
    "mem_c",
    "in_v",
    "in_a",
    "load",
)
SPAN_US = 60_000_000


def asset(number: int) -> str:
    """Tag of a benchmark asset."""
    return f"bm-{number:05d}"


def tag(point: int) -> str:
    """Tag of a benchmark point."""
    return f"{asset(point // 10)}.{QUANTITIES[point % 10]}"


def bodies(wire: str, *, count: int, size: int, points: int, start_us: int) -> list[bytes]:
    """``count`` bodies of ``size`` readings each, newest near ``start_us``."""
    return [_WIRES[wire](rows) for rows in _batches(count, size, points, start_us)]


def _batches(
    count: int, size: int, points: int, start_us: int
) -> Iterator[list[tuple[int, int, float]]]:
    total = count * size
    step = max(SPAN_US // (total // points + 1), 1)
    noise = random.Random(4)
    values = [round(25 + noise.gauss(0, 0.2), 2) for _ in range(10_007)]
    for batch in range(count):
        first = batch * size
        yield [
            (n % points, start_us - SPAN_US + n // points * step, values[n % 10_007])
            for n in range(first, first + size)
        ]


def _line(rows: list[tuple[int, int, float]]) -> bytes:
    return "\n".join(
        f"{asset(p // 10)} {QUANTITIES[p % 10]}={value} {ts}000" for p, ts, value in rows
    ).encode()


def _lines_of_ten(rows: list[tuple[int, int, float]]) -> bytes:
    lines = []
    for at in range(0, len(rows), 10):
        fields = ",".join(f"{QUANTITIES[p % 10]}={value}" for p, _, value in rows[at : at + 10])
        lines.append(f"{asset(rows[at][0] // 10)} {fields} {rows[at][1]}000")
    return "\n".join(lines).encode()


def _json(rows: list[tuple[int, int, float]]) -> bytes:
    stamps = {ts: datetime.fromtimestamp(ts / 1e6, UTC).isoformat() for _, ts, _ in rows}
    return json.dumps(
        {"readings": [{"point": tag(p), "ts": stamps[ts], "value": v} for p, ts, v in rows]},
        separators=(",", ":"),
    ).encode()


_WIRES = {"line": _line, "line10": _lines_of_ten, "json": _json}

ADDRESS = {
    "line": ("/api/v2/write", "text/plain; charset=utf-8", 204),
    "line10": ("/api/v2/write", "text/plain; charset=utf-8", 204),
    "json": ("/api/v1/readings", "application/json", 200),
}
"""Path, content type and status of a full success."""
