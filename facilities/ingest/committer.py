"""Group commit: concurrent requests share one COPY and one commit, and are answered after it.

One thread per process takes whatever has gathered while the last commit ran, up to
``GROUP_READINGS``, makes it one group and commits it on a connection of its own. What waits is
bounded; beyond the bound a request is refused before anything of it is kept.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connection

from facilities.ingest import pipeline, publish, store
from facilities.ingest.errors import IngestError, busy, database_away
from facilities.ingest.pipeline import Group, Push

logger = logging.getLogger(__name__)

GROUP_READINGS: Final = 20_000
"""A group is closed at this size (a larger request is a group of its own): about 50 ms of work."""

WAITING_READINGS: Final = 400_000
"""Readings that may wait, about two seconds of work and 40 MB; assumed."""

Done = Callable[[list[Push]], None]

_one_at_a_time = threading.Lock()


def commit(pushes: Sequence[Push]) -> list[Group]:
    """Store these requests and give each its result or its error; returns what was committed.

    When a group cannot be stored as one, each request is tried by itself, so that a request that
    no database would take does not fail its neighbours. A database that is away fails all of
    them with 503. Never raises because of what a request holds.
    """
    try:
        return [_commit_as_one(pushes)]
    except (OperationalError, InterfaceError) as error:
        logger.warning("%d requests refused, the database is away: %s", len(pushes), error)
        return _fail(pushes, database_away())
    except Exception as error:
        if len(pushes) > 1:
            groups = []
            for push in pushes:
                groups += commit([push])
            return groups
        logger.exception("a request of source %s cannot be stored", pushes[0].sender.name)
        refused = isinstance(error, DatabaseError)
        return _fail(
            pushes,
            IngestError(
                400 if refused else 500,
                "not_storable" if refused else "error",
                "the database refuses this request, nothing of it is stored: "
                f"{str(error).splitlines()[0][:200]}"
                if refused
                else "this server failed on the request, nothing of it is stored; see its log",
            ),
        )


def _commit_as_one(pushes: Sequence[Push]) -> Group:
    with _one_at_a_time:  # converters and quality tests keep state from reading to reading
        for push in pushes:
            push.error = None
        group = pipeline.prepare(pushes)
        store.write(group)
    group.committed_us = time.time_ns() // 1_000
    pipeline.finish(group)
    return group


def _fail(pushes: Sequence[Push], error: IngestError) -> list[Group]:
    for push in pushes:
        push.error = error
    return []


class Committer:
    """The queue and the thread that empties it."""

    def __init__(self) -> None:
        self._queue: deque[tuple[Push, Done]] = deque()
        self._filled = threading.Condition()
        self._thread: threading.Thread | None = None
        self.waiting = 0
        """Readings in the queue."""
        self.busy = False
        """Whether a group is being committed."""
        self._closing = False
        self.groups = 0
        """Groups committed since the start."""

    def can_submit(self, size: int) -> bool:
        """Whether a request of this many readings finds room. An empty queue takes any."""
        return self.waiting == 0 or self.waiting + size <= WAITING_READINGS

    def submit(self, push: Push, done: Done) -> None:
        """Queue a request. ``done`` is called in the committer's thread, once, with all the
        requests of its group that share the same ``done``. Raises ``IngestError`` 503 when the
        queue is full.
        """
        with self._filled:
            if not self.can_submit(push.size):
                raise busy(f"{self.waiting:,} readings wait for the disk already")
            self._queue.append((push, done))
            self.waiting += push.size
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
                self._thread.start()
            if len(self._queue) == 1:
                self._filled.notify()

    def close(self) -> None:
        """End the thread once the queue is empty, and wait for it."""
        with self._filled:
            self._closing = True
            self._filled.notify()
        if self._thread is not None:
            self._thread.join(30)

    def _run(self) -> None:
        try:
            while taken := self._take():
                self.busy = True
                self._work(taken)
                self.busy = False
        finally:
            connection.close()

    def _work(self, taken: list[tuple[Push, Done]]) -> None:
        pushes = [push for push, _ in taken]
        try:
            groups = commit(pushes)
        except Exception:
            logger.exception("%d requests failed", len(pushes))
            groups = _fail(pushes, busy("this server failed to store a group"))
        if any(push.error is not None and push.error.status == 503 for push in pushes):
            connection.close()  # the next group finds out whether the database is back
        self.groups += len(groups)
        _answer(taken)
        for group in groups:
            publish.committed(group)

    def _take(self) -> list[tuple[Push, Done]]:
        with self._filled:
            while not self._queue and not self._closing:
                self._filled.wait()
            taken: list[tuple[Push, Done]] = []
            size = 0
            while self._queue and (not taken or size + self._queue[0][0].size <= GROUP_READINGS):
                item = self._queue.popleft()
                taken.append(item)
                size += item[0].size
            self.waiting -= size
            return taken


def _answer(taken: Sequence[tuple[Push, Done]]) -> None:
    by_listener: dict[Done, list[Push]] = {}
    for push, done in taken:
        by_listener.setdefault(done, []).append(push)
    for done, pushes in by_listener.items():
        try:
            done(pushes)
        except Exception:
            logger.exception("answers to %d requests were lost", len(pushes))
