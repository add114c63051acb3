"""Feeds the detector with committed readings, in one process at a time.

Beat asks every worker to ``keep`` the detector running. The process that wins the lease (a row, by
conditional update) starts a thread: read what is new, score it, write scores and events, renew the
lease; the state goes to a file every minute. When that process dies its lease runs out, another
one loads the file and reads again what was committed since, so nothing is scored differently.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections, connection
from django.db.models import F

from facilities.leased import Keeper, Lease
from facilities.models import AnomalyWorker, Point, Quality

from . import snapshot
from .detector import EXPERTS, Detector, Scored
from .feed import Readings, rounds, unseen
from .scale import THRESHOLD, score01
from .store import PointScore, Surprise, events_drop_old, events_store, scores_store

log = logging.getLogger(__name__)

PERIOD_S: Final = 1.0
LEASE: Final = timedelta(seconds=20)
SNAPSHOT_EVERY_S: Final = 60.0
REFRESH_S: Final = 60.0
"""A score that hardly moves is written again after this."""
MOVED: Final = 0.05
"""A score that moved by this is written at once."""
DEFAULT_INTERVAL_S: Final = 10.0
"""Taken for points that declare no sampling interval. assumed"""


class Turn(NamedTuple):
    """What one turn did. ``lag_s``: from the newest reading's commit to the end of the turn."""

    scored: int
    events: int
    lag_s: float


class Worker:
    """The detector with its rows, and the lease."""

    def __init__(self, *, path: Path | None = None, owner: str = "") -> None:
        self.path = path or Path(settings.DATA_DIR) / "anomaly" / "state.npz"
        self.owner = owner or f"{socket.gethostname()}:{os.getpid()}:{id(self):x}"
        self._lease = Lease(AnomalyWorker, owner=self.owner, duration=LEASE)
        self.detector = Detector()
        self.ids = np.empty(0, np.int64)
        self.row_of: dict[int, int] = {}
        self.precision = np.empty(0)
        self.interval_s = np.empty(0)
        self._version: int | None = -1
        self._written = np.empty(0)
        self._written_at = np.empty(0)
        self._saved_at = 0.0

    def claim(self, *, now: datetime | None = None) -> bool:
        """Take or renew the lease; False when another process holds it."""
        return self._lease.claim(now=now)

    def release(self) -> None:
        """Give the lease back."""
        self._lease.release()

    def load(self) -> None:
        """Take over the state that the last holder saved."""
        stored = snapshot.load(self.path)
        if stored is not None:
            self.detector, self.ids = stored
        self._version = -1
        self._fit()

    def save(self) -> None:
        """Write the state to disk."""
        snapshot.save(self.path, self.detector, self.ids)
        AnomalyWorker.objects.filter(pk=1, owner=self.owner).update(snapshot_at=datetime.now(UTC))

    def turn(self, *, now: datetime | None = None) -> Turn:
        """Score everything that is new. Four queries when something is."""
        self._fit()
        if not self.detector.rows:
            return Turn(0, 0, 0.0)
        seen = self.detector.last_us()
        news = unseen(self.row_of, seen, self.interval_s, now=now)
        surprises: list[Surprise] = []
        scored = 0
        for part in rounds(news.readings):
            usable = np.isfinite(part.value) & (part.flag <= Quality.UNKNOWN)
            part = part.pick(usable)
            found = self.detector.step(part.row, part.ts_us, part.value, self.precision[part.row])
            scored += len(part.row)
            surprises += self._surprises(part, found)
            self._latest_expert[part.row] = found.expert
        self._write(np.unique(news.readings.row))
        events = events_store(surprises=surprises) if surprises else 0
        lag_s = time.time() - news.received_us / 1e6 if scored else 0.0
        return Turn(scored, events, max(lag_s, 0.0))

    def report(self, turn: Turn, busy: float) -> None:
        """Show on the lease's row how it goes."""
        AnomalyWorker.objects.filter(pk=1, owner=self.owner).update(
            scored_until=datetime.now(UTC),
            points=len(self.ids),
            warm_points=int(self.detector.warm().sum()),
            scored=F("scored") + turn.scored,
            lag_s=turn.lag_s,
            busy_fraction=busy,
        )

    def run(self, stop: threading.Event) -> None:
        """Turn once a second while the lease is ours. Survives a database that is away."""
        self.load()
        self._saved_at = time.monotonic()
        busy = 0.0
        while not stop.is_set():
            began, cpu = time.monotonic(), time.thread_time()
            try:
                if not self.claim():
                    log.warning("the anomaly detector's lease went to another process")
                    return
                turn = self.turn()
                self.report(turn, busy)
                if began - self._saved_at > SNAPSHOT_EVERY_S:
                    self.save()
                    events_drop_old()
                    self._saved_at = began
            except (DatabaseError, InterfaceError, OSError) as error:
                log.warning("the anomaly detector waits: %s: %s", type(error).__name__, error)
                close_old_connections()
            spent = time.monotonic() - began
            busy += ((time.thread_time() - cpu) / max(spent, PERIOD_S) - busy) / 60
            stop.wait(max(PERIOD_S - spent, 0.05))
        self.save()
        self.release()

    def _surprises(self, part: Readings, found: Scored) -> list[Surprise]:
        scores = score01(found.surprise)
        return [
            Surprise(
                point_id=int(self.ids[part.row[at]]),
                ts_us=int(part.ts_us[at]),
                score=float(scores[at]),
                value=float(part.value[at]),
                expected=float(found.expected[at]),
                expert=EXPERTS[found.expert[at]],
            )
            for at in np.nonzero(scores >= THRESHOLD)[0]
        ]

    def _write(self, rows: np.ndarray) -> None:
        """Write the scores that moved, crossed the threshold or have not been written lately."""
        rows = rows[self.detector.warm()[rows]]
        if not len(rows):
            return
        scores, last = score01(self.detector.held()[rows]), self.detector.last_us()[rows]
        before = self._written[rows]
        clock = time.monotonic()
        due = (
            ~(np.abs(scores - before) < MOVED)
            | ((scores >= THRESHOLD) != (before >= THRESHOLD))
            | (clock - self._written_at[rows] > REFRESH_S)
        )
        scores_store(
            scores=[
                PointScore(int(self.ids[row]), int(ts), float(score), EXPERTS[expert])
                for row, ts, score, expert in zip(
                    rows[due], last[due], scores[due], self._latest_expert[rows[due]], strict=True
                )
            ]
        )
        self._written[rows[due]] = scores[due]
        self._written_at[rows[due]] = clock

    def _fit(self) -> None:
        """Follow the data list: new points get rows, deleted ones lose theirs.

        States (running, closed, open) are left to alarm rules: their changes are not unusual.
        """
        with connection.cursor() as cursor:
            cursor.execute("SELECT version FROM facilities_datalistversion WHERE id = 1")
            row = cursor.fetchone()
        version = row[0] if row else None
        if version == self._version:
            return
        points = {
            pk: (precision or 0.0, interval or DEFAULT_INTERVAL_S)
            for pk, precision, interval in Point.objects.filter(enum__isnull=True)
            .order_by("pk")
            .values_list("pk", "precision", "sampling_interval_s")
        }
        kept = np.array([pk in points for pk in self.ids.tolist()], dtype=bool)
        if not kept.all():
            self.detector.take(np.nonzero(kept)[0])
            self.ids = self.ids[kept]
        known = set(self.ids.tolist())
        fresh = [pk for pk in points if pk not in known]
        self.ids = np.concatenate([self.ids, np.array(fresh, np.int64)])
        self.detector.grow(len(self.ids))
        self.row_of = {pk: row for row, pk in enumerate(self.ids.tolist())}
        facts = np.array([points[pk] for pk in self.ids.tolist()]).reshape(-1, 2)
        self.precision, self.interval_s = facts[:, 0], facts[:, 1]
        self._written = np.full(len(self.ids), np.nan)
        self._written_at = np.full(len(self.ids), -np.inf)
        self._latest_expert = np.zeros(len(self.ids), np.int8)
        self._version = version


_keeper = Keeper("facilities-anomaly", Worker)


def keep() -> bool:
    """Have the detector run somewhere; start it here when nobody holds the lease.

    Returns whether it runs in this process. Called by beat through every worker, again and again.
    """
    return _keeper.keep()
