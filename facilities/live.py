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
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import redis
from channels.layers import get_channel_layer
from django.conf import settings

logger = logging.getLogger(__name__)

QUEUE_SIZE = 1_000
SEND_TIMEOUT_S = 1.0
PAUSE_AFTER_FAILURE_S = 1.0

EVALUATE_EVERY_S = 0.1
"""Alarm work is gathered this long, so that a worker gets tasks of some size (assumed)."""

VALUES_PER_TASK = 2_000
"""Readings in one evaluation task; assumed."""

BACKLOG: Final = 50
"""Messages that may wait before readings are held back and coalesced (assumed)."""

WATCHED_FOR_S: Final = 1.0
"""How long the answer to "does anybody listen?" is believed."""


class _Push(NamedTuple):
    group: str
    message: dict[str, Any]


class _Evaluate(NamedTuple):
    """Readings as ``tasks.evaluate_points`` takes them: [point id, ts_us, value, flag]."""

    values: Sequence[Sequence[Any]]


class _Derive(NamedTuple):
    """Inputs of derived points as ``tasks.evaluate_derived`` takes them."""

    values: Sequence[Sequence[Any]]


class Publisher:
    """The queue and the thread that empties it."""

    def __init__(self) -> None:
        self.queue: queue.Queue[_Push | _Evaluate | _Derive] = queue.Queue(QUEUE_SIZE)
        self.dropped = 0
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._due: list[Sequence[Any]] = []
        self._feeds: dict[int, Sequence[Any]] = {}
        self._due_at = 0.0

    def put(self, item: _Push | _Evaluate | _Derive) -> None:
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
                batch = self._gather()
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

    def _gather(self) -> list[_Push | _Evaluate | _Derive]:
        """What is queued; alarm work stays until it is due, pushes never wait for it."""
        waits = self._due or self._feeds
        timeout = None if not waits else max(self._due_at - time.monotonic(), 0.0)
        batch: list[_Push | _Evaluate | _Derive] = []
        try:
            batch.append(self.queue.get(timeout=timeout))
            while len(batch) < QUEUE_SIZE:
                batch.append(self.queue.get_nowait())
        except queue.Empty:
            pass
        return batch

    def _deliver(self, runner: asyncio.Runner, batch: list[_Push | _Evaluate | _Derive]) -> None:
        for item in batch:
            if isinstance(item, _Evaluate):
                self._due.extend(item.values)
            elif isinstance(item, _Derive):
                for value in item.values:  # of each point the newest counts
                    before = self._feeds.get(value[0])
                    if before is None or before[1] <= value[1]:
                        self._feeds[value[0]] = value
        if self._feeds and time.monotonic() >= self._due_at:
            feeds, self._feeds = self._feeds, {}
            self._derive(list(feeds.values()))
            if not self._due:
                self._due_at = time.monotonic() + EVALUATE_EVERY_S
        if self._due and time.monotonic() >= self._due_at:
            due, self._due = self._due, []
            self._due_at = time.monotonic() + EVALUATE_EVERY_S
            self._evaluate(due)
        pushes = [item for item in batch if isinstance(item, _Push)]
        if pushes:
            runner.run(self._send(pushes))

    def _evaluate(self, values: list[Sequence[Any]]) -> None:
        from facilities.tasks import evaluate_points

        for start in range(0, len(values), VALUES_PER_TASK):
            part = values[start : start + VALUES_PER_TASK]
            evaluate_points.apply_async(
                args=(sorted({value[0] for value in part}),),
                kwargs={"values": part},
                retry=False,
                expires=30,
            )

    def _derive(self, values: list[Sequence[Any]]) -> None:
        from facilities.tasks import evaluate_derived

        evaluate_derived.apply_async(kwargs={"values": values}, retry=False, expires=10)

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


def evaluate_soon(values: Sequence[Sequence[Any]]) -> None:
    """Have a worker evaluate the alarm rules on [point id, ts_us, value, flag]. Never blocks."""
    if values:
        _publisher.put(_Evaluate(values))


def derive_soon(values: Sequence[Sequence[Any]]) -> None:
    """Have a worker compute what these inputs [point id, ts_us, value, flag] feed. Never blocks."""
    if values:
        _publisher.put(_Derive(values))


def has_room() -> bool:
    """Whether news get through quickly enough for more readings to be queued."""
    return _publisher.queue.qsize() < BACKLOG


_watched: dict[str, tuple[float, bool]] = {}
_client: list[redis.Redis] = []


def is_watched(group: str) -> bool:
    """Whether any browser of any process listens to the group, as of a second ago at most.

    Asks Redis for the group's set, which the channel layer keeps there. True when Redis is slow
    or down: then the push itself will tell.
    """
    checked_at, answer = _watched.get(group, (float("-inf"), True))
    if time.monotonic() - checked_at < WATCHED_FOR_S:
        return answer
    if not _client:
        _client.append(
            redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
        )
    layers: dict[str, Any] = settings.CHANNEL_LAYERS
    prefix = layers["default"]["CONFIG"]["prefix"]
    try:
        answer = bool(_client[0].zcard(f"{prefix}:group:{group}"))
    except redis.RedisError:
        answer = True
    _watched[group] = (time.monotonic(), answer)
    return answer
