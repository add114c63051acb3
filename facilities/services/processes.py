"""Every web and worker process signs in when it starts and is seen while it lives."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.db import DatabaseError, connection
from django.utils import timezone

from facilities.models import ProcessRun

logger = logging.getLogger(__name__)

SEEN_EVERY_S: Final = 15.0
ALIVE: Final = timedelta(seconds=3 * SEEN_EVERY_S)
"""A process not seen for three turns is gone (assumed)."""

KEPT: Final = timedelta(days=35)
TOGETHER: Final = timedelta(seconds=90)
"""Processes of a machine that are last seen within this time were stopped together (assumed)."""

_watched: dict[str, threading.Thread] = {}
_lock = threading.Lock()


def watch(kind: str) -> None:
    """Record this process from now on, in a thread of its own. A second call does nothing."""
    with _lock:
        if kind in _watched:
            return
        thread = threading.Thread(
            target=_keep, args=(kind, timezone.now()), name="facilities-process", daemon=True
        )
        _watched[kind] = thread
        thread.start()


def _keep(kind: str, started_at: datetime) -> None:
    run: int | None = None
    pause = threading.Event()
    while True:
        try:
            run = process_seen(kind=kind, started_at=started_at, run=run)
        except DatabaseError as error:
            logger.info("process %s is not recorded now: %s", kind, error)
        finally:
            connection.close()
        pause.wait(SEEN_EVERY_S)


def process_seen(*, kind: str, started_at: datetime, run: int | None) -> int:
    """Say that this process lives; return the id of its row. One query, three at first."""
    now = timezone.now()
    if run is not None and ProcessRun.objects.filter(pk=run).update(seen_at=now):
        return run
    ProcessRun.objects.filter(seen_at__lt=now - KEPT).delete()
    made = ProcessRun.objects.create(
        kind=kind,
        host=socket.gethostname()[:120],
        pid=os.getpid(),
        started_at=started_at,
        seen_at=now,
    )
    return made.pk


class Record(NamedTuple):
    """What the recorded lives of a period tell.

    ``alone``: lives that ended while other processes of the same machine went on: crashes, or
    restarts of one process. ``together``: times a machine's processes all stopped (an upgrade, a
    reboot, a stop). ``live`` counts the processes that live now, by kind.
    """

    since: datetime | None
    starts: int
    alone: int
    together: int
    live: dict[str, int]


def record(*, now: datetime, days: int = 30) -> Record:
    """Judge the last ``days``. One query."""
    rows = list(
        ProcessRun.objects.filter(seen_at__gte=now - timedelta(days=days))
        .order_by("seen_at")
        .values_list("kind", "host", "started_at", "seen_at")
    )
    live: dict[str, int] = defaultdict(int)
    by_host: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for kind, host, started, seen in rows:
        if seen > now - ALIVE:
            live[kind] += 1
        by_host[host].append((started, seen))
    alone = together = 0
    for lives in by_host.values():
        last_stop: datetime | None = None
        for _, seen in lives:
            if seen > now - ALIVE:
                continue
            goes_on = any(started <= seen and other > seen + TOGETHER for started, other in lives)
            if goes_on:
                alone += 1
            elif last_stop is None or seen - last_stop > TOGETHER:
                together += 1
                last_stop = seen
    first = min((started for _, _, started, _ in rows), default=None)
    return Record(first, len(rows), alone, together, dict(live))
