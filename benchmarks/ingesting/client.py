"""Clients that post as fast as answers come, in a process of their own.

    python -m benchmarks.ingesting.client < parameters.json

Prints "ready" when the bodies are made, starts at a line on standard input, and ends with one
JSON line: readings acknowledged, seconds, and the median and 99th percentile of the answers, ms.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import uvloop

from benchmarks.ingesting.bodies import ADDRESS, bodies


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def post(self, request: bytes) -> asyncio.Future[int]:
        """Send; the result is the status."""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        at = lower.find(b"content-length:")
        length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the server closed the connection"))


def request(path: str, content_type: str, token: str, body: bytes) -> bytes:
    """The bytes of one POST."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Token {token}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def run(parameters: dict[str, Any]) -> dict[str, Any]:
    """Post every body once over ``connections`` connections, at most ``rate`` requests/s."""
    path, kind, success = ADDRESS[parameters["wire"]]
    size = parameters["size"]
    made = bodies(
        parameters["wire"],
        count=parameters["count"],
        size=size,
        points=parameters["points"],
        start_us=time.time_ns() // 1_000,
    )
    requests = [request(path, kind, parameters["token"], body) for body in made]
    del made
    loop = asyncio.get_running_loop()
    connections = [
        (await loop.create_connection(Connection, "127.0.0.1", parameters["port"]))[1]
        for _ in range(parameters["connections"])
    ]
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    latencies: list[float] = []
    statuses: dict[int, int] = {}
    queue = iter(requests)
    rate = parameters.get("rate")
    began = time.perf_counter()
    sent = 0
    until = began + parameters["seconds"]

    async def work(connection: Connection) -> None:
        nonlocal sent
        for body in queue:
            number, sent = sent, sent + 1
            if rate:
                await asyncio.sleep(max(began + number / rate - time.perf_counter(), 0))
            start = time.perf_counter()
            if start > until:
                return
            status = await connection.post(body)
            latencies.append(time.perf_counter() - start)
            statuses[status] = statuses.get(status, 0) + 1

    await asyncio.gather(*(work(connection) for connection in connections))
    took = time.perf_counter() - began
    for connection in connections:
        connection.transport.close()
    latencies.sort()
    return {
        "acknowledged": statuses.get(success, 0) * size,
        "seconds": took,
        "statuses": statuses,
        "p50": round(latencies[len(latencies) // 2] * 1e3, 2),
        "p99": round(latencies[int(len(latencies) * 0.99)] * 1e3, 2),
    }


if __name__ == "__main__":
    given = json.loads(sys.stdin.readline())
    print(json.dumps(uvloop.run(run(given))), flush=True)
