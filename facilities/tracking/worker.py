"""Follows the plant through consistent snapshots, in one process at a time.

Beat asks every worker to ``keep`` it going. The process that wins the lease (a row, by conditional
update) starts a thread: take a snapshot, update the tracker, write back residuals, accuracy and
findings, store the state, renew the lease. When it dies the lease runs out; another one takes what
was stored and begins its state anew from a snapshot.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from datetime import datetime, timedelta
from typing import Final

from django.db import DatabaseError, InterfaceError, close_old_connections
from django.db.models import F
from django.utils import timezone

from facilities.leased import Keeper, Lease
from facilities.models import DataListVersion, Quality, TwinTracker
from facilities.snapshots import Snapshot, snapshot
from facilities.twin.estimate.blocks import FOLLOWED
from facilities.twin.estimate.fitness import Score
from facilities.twin.estimate.tracker import Tracker, Update
from facilities.twin.site import SiteError

from . import costs, stored
from .accuracy import Hours
from .findings import findings_store
from .residuals import Residuals
from .site import load_site
from .specs import alarm_levels, point_specs

log = logging.getLogger(__name__)

PERIOD_S: Final = 10.0
LEASE: Final = timedelta(seconds=40)
BEHIND_S: Final = 2.5
"""Snapshots are of a moment ago: sources that sample every 2 s are in by then."""
WAIT_S: Final = 3.0
SAVE_EVERY_S: Final = 60.0
COSTS_EVERY_S: Final = 3600.0
SHAPE_EVERY_S: Final = 60.0
"""How often the data list is looked at for new equipment."""

PUBLISHED: Final = frozenset((f.kind, f.quantity) for f in FOLLOWED if f.published)


class Worker:
    """The tracker with its row and its lease."""

    def __init__(self, *, owner: str = "") -> None:
        self.owner = owner or f"{socket.gethostname()}:{os.getpid()}:{id(self):x}"
        self._lease = Lease(TwinTracker, owner=self.owner, duration=LEASE)
        self.tracker: Tracker | None = None
        self.residuals: Residuals | None = None
        self.hours = Hours()
        self._shape: object = None
        self._version = -1
        self._published: frozenset[str] = frozenset()
        self._estimated_s = 0.0
        self._cost_ms = 0.0

    def claim(self, *, now: datetime | None = None) -> bool:
        """Take or renew the lease; False when another process holds it."""
        return self._lease.claim(now=now)

    def release(self) -> None:
        """Give the lease back."""
        self._lease.release()

    def load(self) -> None:
        """Make the tracker of the data list and take over what the last one learnt.

        Raises ``SiteError`` for a data list that cannot be simulated.
        """
        site = load_site()
        specs = point_specs()
        tracker = Tracker(site, specs, levels=alarm_levels())
        row = TwinTracker.objects.filter(pk=1).first() or TwinTracker()
        self.hours = Hours(row.sums)
        if row.memory is not None and row.model_version == stored.VERSION:
            try:
                for problem in tracker.put(stored.from_bytes(bytes(row.memory))):
                    log.info("the twin learns anew: %s", problem)
            except ValueError as error:
                log.warning("%s; the twin learns anew", error)
        self.tracker = tracker
        self.residuals = Residuals()
        self._shape = (site.assets, site.links)
        self._published = frozenset(
            spec.tag for spec in specs if (spec.kind, spec.quantity) in PUBLISHED
        )

    def turn(self, *, shot: Snapshot | None = None) -> Update | None:
        """Take a snapshot and follow it. None where it brought nothing new."""
        if self.tracker is None:
            self.load()
        tracker = self.tracker
        if tracker is None or self.residuals is None:  # load made them, or raised
            return None
        shot = shot or snapshot(
            at=timezone.now() - timedelta(seconds=BEHIND_S), timeout_s=WAIT_S, reader="twin"
        )
        began = time.thread_time()
        update = tracker.update(
            shot.at.timestamp(),
            {
                tag: (value.value, int(Quality.MISSING) if value.stale else value.quality)
                for tag, value in shot.values.items()
            },
        )
        if update is None:
            return None
        published = [r for r in update.points if r.tag in self._published]
        self.residuals.write(at_s=update.at_s, results=published)
        step, free = tracker.step_score, tracker.free_score
        tracker.step_score, tracker.free_score = Score(), Score()
        self.hours.add(at=shot.at, step=step, free=free)
        if update.findings is not None:
            findings_store(found=update.findings, at=shot.at)
        self._write(tracker, update, shot, time.thread_time() - began)
        return update

    def save(self) -> None:
        """Store what the tracker has learnt."""
        if self.tracker is not None:
            TwinTracker.objects.filter(pk=1).update(
                memory=stored.to_bytes(self.tracker.to_arrays(), compress=True),
                memory_at=timezone.now(),
                model_version=stored.VERSION,
            )

    def run(self, stop: threading.Event) -> None:
        """Turn every ten seconds while the lease is ours. Survives a database that is away."""
        looked = saved = costed = time.monotonic()
        costed -= COSTS_EVERY_S - 120.0  # the first one when the state has settled
        while not stop.is_set():
            began = time.monotonic()
            try:
                if not self.claim():
                    log.warning("following the plant went to another process")
                    return
                if began - looked > SHAPE_EVERY_S:
                    looked = began
                    self._look()
                self.turn()
                if began - saved > SAVE_EVERY_S:
                    self.save()
                    saved = began
                if began - costed > COSTS_EVERY_S and self.tracker is not None:
                    costed = began
                    costs.costs_store(tracker=self.tracker)
            except SiteError as error:
                TwinTracker.objects.filter(pk=1).update(problem=str(error)[:300])
                self.tracker = None
            except (DatabaseError, InterfaceError, OSError) as error:
                log.warning("the twin waits: %s: %s", type(error).__name__, error)
                close_old_connections()
            stop.wait(max(PERIOD_S - (time.monotonic() - began), 0.1))
        self.save()
        self.release()

    def _look(self) -> None:
        """Begin anew when equipment or its links changed; points alone change nothing here."""
        version = DataListVersion.objects.filter(pk=1).values_list("version", flat=True).first()
        if version == self._version or self.tracker is None:
            self._version = version or 0
            return
        self._version = version or 0
        site = load_site()
        if (site.assets, site.links) != self._shape:
            self.save()
            self.load()

    def _write(self, tracker: Tracker, update: Update, shot: Snapshot, spent_s: float) -> None:
        twin, state, drive = tracker.live()
        fields = {
            "at": shot.at,
            "arrays": stored.pack(twin, state, drive),
            "model_version": stored.VERSION,
            "points": _points(update),
            "fitness": self.hours.fitness(),
            "sums": self.hours.to_json(),
            "waited_s": shot.waited_s,
            "complete": shot.complete,
            "problem": "",
            "turns": F("turns") + 1,
        }
        if update.restarted:
            fields["started_at"] = shot.at
        if update.restarted or update.at_s - self._estimated_s >= SAVE_EVERY_S:
            self._estimated_s = update.at_s
            fields["estimates"] = [
                [*e[:3], *(_short(v) for v in e[3:6]), e.known] for e in tracker.estimates()
            ]
        cost_ms = 1e3 * spent_s
        self._cost_ms += (cost_ms - self._cost_ms) * (0.1 if self._cost_ms else 1.0)
        fields |= {"cost_ms": self._cost_ms, "busy_fraction": self._cost_ms / 1e3 / PERIOD_S}
        TwinTracker.objects.filter(pk=1).update(**fields)


def _points(update: Update) -> dict[str, list[list[object]]]:
    """Columns for the page: followed points, and what slow instruments hide."""
    return {
        "followed": [[p.tag, p.kind, p.unit, *(_short(v) for v in p[3:])] for p in update.points],
        "gaps": [[g.tag, g.unit, *(_short(v) for v in g[2:])] for g in update.gaps],
    }


def _short(value: float) -> float:
    return float(f"{value:.5g}")


_keeper = Keeper("facilities-twin", Worker)


def keep() -> bool:
    """Have the plant followed somewhere; start it here when nobody holds the lease.

    Returns whether it runs in this process. Called by beat through every worker, again and again.
    """
    return _keeper.keep()
