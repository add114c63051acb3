"""Puts what a simulated plant said into the database as if it had happened just now.

Through the product's own stages: converters, validation and quality flags, COPY, latest values, the
alarm engine, the slow quality tests. Only the network and the group commit are left out. Everything
happens inside the caller's transaction, which is to be rolled back: no task is queued and nobody is
told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from django.db import connection

from approvals.evaluation.recorded import COARSE_S, Recorded, Taken
from facilities.alarms import engine
from facilities.ingest import latest, pipeline, store
from facilities.ingest.auth import Sender
from facilities.ingest.pipeline import Group, Push
from facilities.ingest.samples import Samples
from facilities.models import Alarm, Asset, MaintenanceWindow, Point, Source
from facilities.quality.judge import points_judge
from facilities.snapshots import Snapshot
from facilities.snapshots.read import values_at
from facilities.tracking.worker import Worker

SOURCE: Final = "plant of the evaluation"
EVALUATE_S: Final = 10.0  # plant seconds between two evaluations of the alarm rules,
CALM_S: Final = 30.0  # and while the plant's own judge sees no alarm
BEFORE_ALARM_S: Final = 320.0  # longest delay of a rule of the demo facility, and a little
FINE_S: Final = 60.0  # delivered as they came where nobody judges the instruments
LONGEST_S: Final = 900.0  # evaluated at most before the first delivery
DELAY_US: Final = 100_000  # from reading to arrival; assumed, as the demo plant's pushes
TWIN_EVERY_S: Final = 10.0
WINDOW: Final = timedelta(hours=3)  # around the case, for planned work

_MOVE: Final = (
    "UPDATE facilities_alarm SET raised_at = raised_at + make_interval(secs => %(by)s),"
    " cleared_at = cleared_at + make_interval(secs => %(by)s),"
    " recorded_at = recorded_at + make_interval(secs => %(by)s)",
    "UPDATE facilities_alarmevent SET at = at + make_interval(secs => %(by)s)",
    "UPDATE facilities_rulestate"
    " SET condition_since = condition_since + make_interval(secs => %(by)s)",
    "UPDATE facilities_pointquality SET since = since + make_interval(secs => %(by)s),"
    " computed_at = computed_at + make_interval(secs => %(by)s),"
    " run_since = run_since + make_interval(secs => %(by)s)",
)


class NotInTransactionError(RuntimeError):
    """Delivered outside a transaction: it would reach workers and people."""


class Delivery:
    """Delivers one plant, again and again as it goes on; the newest reading is always ``now``."""

    def __init__(
        self, sim: Recorded, *, judged: bool, healthy_until_s: float | None = None
    ) -> None:
        """``sim`` is healthy up to ``healthy_until_s``, or up to now. ``judged``: the slow quality
        tests look at every point, which needs ten minutes of all readings; else older ones are
        delivered every ten seconds.
        """
        self._sim = sim
        self._healthy_until_s = sim.elapsed_s if healthy_until_s is None else healthy_until_s
        self._judged = judged
        self._now: datetime | None = None
        self._at_s = 0.0
        self._sender: Sender | None = None
        self._ids: dict[str, int] = {}

    def deliver(self, *, now: datetime) -> list[int]:
        """Write readings, latest values, quality and alarms; returns the open alarms' ids.

        Causes come before what follows from them, older before newer. Alarm rows of an earlier
        delivery are kept and move with the plant's time. Raises ``NotInTransactionError``. A second
        of one core, five when judged.
        """
        if not connection.in_atomic_block:
            raise NotInTransactionError(
                "deliver() writes as if the plant were real: call it inside transaction.atomic() "
                "on a throwaway database and roll back."
            )
        if self._sender is None:
            self._begin()
        self._clear(now)
        since_s = self._evaluated_since()
        history = self._history(since_s)
        self._store([taken for taken in history if taken.at_s <= since_s], now)
        every_s = EVALUATE_S if self._sim.raised else CALM_S
        chunk: list[Taken] = []
        for taken in (taken for taken in history if taken.at_s > since_s):
            chunk.append(taken)
            if taken.at_s % every_s == 0 or taken is history[-1]:
                self._evaluate(self._store(chunk, now), self._time(taken.at_s, now))
                chunk = []
        if self._judged:
            points_judge(point_ids=list(self._ids.values()), now=now)
        engine.sweep(now=now)
        self._now, self._at_s = now, self._sim.elapsed_s
        return list(
            Alarm.objects.filter(cleared_at__isnull=True)
            .order_by("suppressed", "raised_at", "pk")
            .values_list("pk", flat=True)
        )

    def follow_twin(self, *, now: datetime, minutes: float) -> int:
        """Let the product's tracker follow the delivered readings, every ten seconds of the last
        ``minutes``.

        Writes its state, residual readings and findings; returns how many turns it took. 0.1 to
        0.3 s a turn.
        """
        worker = Worker(owner="evaluation")
        worker.claim(now=now)
        worker.load()
        turns = 0
        for taken in self._sim.history:
            age_s = self._sim.elapsed_s - taken.at_s
            if taken.at_s % TWIN_EVERY_S or age_s > 60.0 * minutes:
                continue
            at = self._time(taken.at_s, now)
            values = values_at(at, tags=self._ids)
            turns += worker.turn(shot=Snapshot(at, "complete", True, 0.0, values, None)) is not None
        return turns

    def open_windows(self, tags: Iterable[str], *, now: datetime) -> None:
        """Put these assets into maintenance windows, from three hours ago to three hours on."""
        for asset in Asset.objects.filter(tag__in=list(tags)):
            MaintenanceWindow.objects.create(
                asset=asset,
                starts_at=now - WINDOW,
                ends_at=now + WINDOW,
                reason="Planned work",
                covers_safety=True,
            )

    def _begin(self) -> None:
        source, _ = Source.objects.get_or_create(name=SOURCE)
        self._sender = Sender(source.pk, source.name)
        tags = self._sim.sensors.tags
        self._ids = dict(Point.objects.filter(tag__in=tags).values_list("tag", "pk"))
        missing = set(tags) - set(self._ids)
        if missing:
            raise LookupError(
                f"the database lacks {len(missing)} points of the demo facility, e.g. "
                f"{sorted(missing)[0]}: run load_facility facilities/demo/facility.yaml"
            )

    def _evaluated_since(self) -> float:
        """Up to where the alarm rules have seen everything, or need not."""
        if self._now is not None:
            return self._at_s
        raised = self._sim.raised.values()
        end_s = self._sim.elapsed_s
        first_s = min(raised, default=end_s)
        return max(first_s - BEFORE_ALARM_S, end_s - LONGEST_S, self._healthy_until_s)

    def _history(self, since_s: float) -> list[Taken]:
        """What is delivered: all that is kept, or less where nobody would look at it."""
        if self._judged:
            return self._sim.history
        fine_s = min(since_s, self._sim.elapsed_s - FINE_S)
        return [t for t in self._sim.history if t.at_s > fine_s or t.at_s % COARSE_S == 0]

    def _clear(self, now: datetime) -> None:
        """Take away earlier readings; move the alarms by what plant and clock went apart."""
        pipeline.forget()
        store.forget()
        with connection.cursor() as cursor:
            ids = list(self._ids.values())
            cursor.execute("DELETE FROM facilities_reading WHERE point_id = ANY(%s)", [ids])
            cursor.execute("DELETE FROM facilities_latestreading WHERE point_id = ANY(%s)", [ids])
            if self._now is not None:
                clock_s = (now - self._now).total_seconds()
                by = clock_s - (self._sim.elapsed_s - self._at_s)
                for statement in _MOVE:
                    cursor.execute(statement, {"by": by})

    def _time(self, at_s: float, now: datetime) -> datetime:
        return now - timedelta(seconds=self._sim.elapsed_s - at_s)

    def _store(self, taken: Sequence[Taken], now: datetime) -> Group | None:
        """Commit these readings, each tick as a push of its own, and their latest values."""
        pushes = [self._push(one, now) for one in taken]
        if not pushes:
            return None
        group = pipeline.prepare(pushes)
        store.write(group)
        latest.upsert(latest.newest_of(group))
        return group

    def _push(self, taken: Taken, now: datetime) -> Push:
        if self._sender is None:  # deliver() made it
            raise RuntimeError("deliver() comes first")
        said = np.flatnonzero(~np.isnan(taken.values)).astype(np.int32)
        ts_us = round(self._time(taken.at_s, now).timestamp() * 1e6)
        samples = Samples(
            names=self._sim.sensors.tags,
            series=said,
            ts_us=np.full(len(said), ts_us, np.int64),
            value=taken.values[said].astype(np.float64),
            index=said,
        )
        return Push(self._sender, samples, ts_us + DELAY_US, strict=False)

    def _evaluate(self, group: Group | None, at: datetime) -> None:
        if group is not None:
            engine.evaluate(values=_rows(group), now=at)


def _rows(group: Group) -> list[list[Any]]:
    columns: Iterable[list[Any]] = (
        group.points().tolist(),
        group.ts_us.tolist(),
        group.value.tolist(),
        group.flag.tolist(),
    )
    return [list(row) for row in zip(*columns, strict=True)]
