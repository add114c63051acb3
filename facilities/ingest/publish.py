"""What follows a commit of readings: live push, alarm evaluation, latest values, counts.

Best effort, off the request's path: nothing here can fail or delay an acknowledged reading. Each
consumer reads the newest value per point, so a slow one skips intermediate values instead of
letting them pile up.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
from django.db import connection

from facilities import live
from facilities.alarms.screen import Screen
from facilities.converters.derived_feed import Feed
from facilities.ingest import latest
from facilities.ingest.flow import tally
from facilities.ingest.latest import Keeper, Newest
from facilities.ingest.pipeline import Group
from facilities.ingest.points import PointColumns

logger = logging.getLogger(__name__)

PUSH_SIZE: Final = 1_000
"""Readings in one message to the browsers."""

PUSH_EVERY_S: Final = 0.05
PUSHED_PER_S: Final = 40_000
"""Readings per second sent to browsers; with more, each point is sent less often (assumed)."""

FLUSH_EVERY_S: Final = 0.25
FLUSH_SHARE: Final = 0.25
"""Part of the time that writing latest values may take; assumed."""

COUNT_EVERY_S: Final = 5.0
PAUSE_AFTER_FAILURE_S: Final = 1.0

keeper = Keeper()
_screen = Screen()
_feed = Feed()
_ended: dict[int, int] = {}
_ended_lock = threading.Lock()


def forget() -> None:
    """Begin with no memory of values and rules."""
    global _screen, _feed
    keeper.forget()
    _screen, _feed = Screen(), Feed()
    with _ended_lock:
        _ended.clear()


def committed(group: Group) -> None:
    """Hand on a group that the committer has stored. Never raises."""
    start()
    try:
        late = keeper.note(group)
        tally.note_group(group, late=late)
        _note_ended(group)
        new = ~late
        news = (
            group.columns,
            group.row[new],
            group.ts_us[new],
            group.value[new],
            group.flag[new],
        )
        evaluate(*news)
        live.derive_soon(_feed.pick(*news))
    except Exception:
        logger.exception("what follows a commit failed; the readings are stored")


def evaluate(
    columns: PointColumns,
    row: npt.NDArray[np.int32],
    ts_us: npt.NDArray[np.int64],
    value: npt.NDArray[np.float64],
    flag: npt.NDArray[np.uint8],
) -> None:
    """Have the alarm rules evaluated that these readings could change."""
    rows = _screen.candidates(columns, row, value, flag)
    live.evaluate_soon(_screen.pick(columns, row, ts_us, value, flag, rows))


def push(columns: PointColumns, newest: Newest) -> None:
    """Tell browsers new latest values."""
    stamps = np.datetime_as_string(newest.ts_us.astype("datetime64[us]")).tolist()
    row = columns.rows_of(newest.point_id)
    readings = [
        {"point": columns.tags[at], "ts": f"{stamp}+00:00", "value": value, "quality": quality}
        for at, stamp, value, quality in zip(
            row.tolist(), stamps, newest.value.tolist(), newest.flag.tolist(), strict=True
        )
        if at >= 0
    ]
    for start_at in range(0, len(readings), PUSH_SIZE):
        live.push(
            "telemetry", {"type": "readings", "readings": readings[start_at : start_at + PUSH_SIZE]}
        )


def _note_ended(group: Group) -> None:
    if len(group.stale_row):
        ids = group.columns.id[group.stale_row].tolist()
        with _ended_lock:
            for point, ts in zip(ids, group.stale_ts_us.tolist(), strict=True):
                _ended[point] = max(ts, _ended.get(point, ts))


def _take_ended() -> list[tuple[int, int]]:
    with _ended_lock:
        taken = sorted(_ended.items())
        _ended.clear()
    return taken


class Writer:
    """The thread that keeps ``LatestReading`` and ``SourceFlow`` up to the commits."""

    def __init__(self) -> None:
        self.recovered = False
        self.counted_at = 0.0

    def step(self) -> float:
        """Write what changed; return how long to wait before the next step, seconds."""
        began = time.monotonic()
        if not self.recovered:
            found = latest.recover()
            self.recovered = True
            if found:
                logger.info("%d latest readings recovered from the readings", found)
        flush()
        if began - self.counted_at > COUNT_EVERY_S:
            self.counted_at = began
            tally.flush()
        took = time.monotonic() - began
        return max(FLUSH_EVERY_S - took, took * (1 / FLUSH_SHARE - 1))


def flush() -> None:
    """Write the latest values that changed since the last flush."""
    newest = keeper.take("database")
    if len(newest.point_id):
        try:
            latest.upsert(newest)
        except Exception:
            keeper.give_back("database", newest)
            raise
    ended = _take_ended()
    if ended:
        latest.mark_ended(ended)


class Teller:
    """The thread that tells browsers, when there are any."""

    def step(self) -> float:
        """Push what changed; return how long to wait before the next step, seconds."""
        if not live.has_room():
            return PUSH_EVERY_S
        points, newest = keeper.points, keeper.take("browsers")
        size = len(newest.point_id)
        if size and live.is_watched("telemetry"):
            push(points, newest)
        return max(PUSH_EVERY_S, size / PUSHED_PER_S)


_threads: list[threading.Thread] = []
_starting = threading.Lock()


def start() -> None:
    """Start the two threads of this process unless they run."""
    if _threads and all(thread.is_alive() for thread in _threads):
        return
    with _starting:
        if _threads and all(thread.is_alive() for thread in _threads):
            return
        _threads[:] = [
            threading.Thread(target=_forever, args=(step,), name=name, daemon=True)
            for name, step in (("latest", Writer().step), ("browsers", Teller().step))
        ]
        for thread in _threads:
            thread.start()


def _forever(step: Callable[[], float]) -> None:
    while True:
        try:
            pause = step()
        except Exception as error:
            logger.warning(
                "thread %s: %s; trying again in %.0f s",
                threading.current_thread().name,
                error,
                PAUSE_AFTER_FAILURE_S,
            )
            connection.close()
            pause = PAUSE_AFTER_FAILURE_S
        time.sleep(pause)
