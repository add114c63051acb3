"""Best-effort news after a commit: pushes to browsers and alarm work to Celery.

One daemon thread per process takes news from a bounded queue, so a slow or dead Redis never
delays the caller. What cannot be delivered is dropped and counted: the browser reads the state
again when it reconnects, and the beat sweep evaluates alarms from ``LatestReading``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import threading
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from channels.layers import get_channel_layer

logger = logging.getLogger(__name__)

QUEUE_SIZE = 1_000
SEND_TIMEOUT_S = 1.0
PAUSE_AFTER_FAILURE_S = 1.0


class _Push(NamedTuple):
    group: str
    message: dict[str, Any]


class _Evaluate(NamedTuple):
    point_ids: tuple[int, ...]


class Publisher:
    """The queue and the thread that empties it."""

    def __init__(self) -> None:
        self.queue: queue.Queue[_Push | _Evaluate] = queue.Queue(QUEUE_SIZE)
        self.dropped = 0
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def put(self, item: _Push | _Evaluate) -> None:
        """Queue one piece of news; drop it when the queue is full."""
        try:
            self.queue.put_nowait(item)
        except queue.Full:
            self.dropped += 1
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(
                        target=self._run, name="facilities-live", daemon=True
                    )
                    self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            while True:
                batch = [self.queue.get()]
                while len(batch) < QUEUE_SIZE:
                    try:
                        batch.append(self.queue.get_nowait())
                    except queue.Empty:
                        break
                try:
                    self._deliver(runner, batch)
                except Exception as error:
                    # Whatever Redis does, this thread must live on; the sweep repairs.
                    self.dropped += len(batch)
                    logger.warning(
                        "live push and alarm tasks are not getting through to Redis (%s: %s); "
                        "%d dropped so far, readings are stored and the sweep catches up",
                        type(error).__name__,
                        error,
                        self.dropped,
                    )
                    time.sleep(PAUSE_AFTER_FAILURE_S)

    def _deliver(self, runner: asyncio.Runner, batch: list[_Push | _Evaluate]) -> None:
        points = {pid for item in batch if isinstance(item, _Evaluate) for pid in item.point_ids}
        if points:
            from facilities.tasks import evaluate_points

            evaluate_points.apply_async(args=(sorted(points),), retry=False, expires=30)
        pushes = [item for item in batch if isinstance(item, _Push)]
        if pushes:
            runner.run(self._send(pushes))

    async def _send(self, pushes: list[_Push]) -> None:
        layer = get_channel_layer()
        if layer is None:
            return
        for push in pushes:
            await asyncio.wait_for(layer.group_send(push.group, push.message), SEND_TIMEOUT_S)


_publisher = Publisher()


def _fresh_after_fork() -> None:
    global _publisher
    _publisher = Publisher()


os.register_at_fork(after_in_child=_fresh_after_fork)


def push(group: str, message: dict[str, Any]) -> None:
    """Send a JSON message to a channel-layer group, soon, if Redis lets it. Never blocks."""
    _publisher.put(_Push(group, message))


def evaluate_soon(point_ids: Iterable[int]) -> None:
    """Have a worker evaluate the alarm rules of these points. Never blocks."""
    _publisher.put(_Evaluate(tuple(point_ids)))
