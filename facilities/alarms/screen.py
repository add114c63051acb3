"""Which of the readings just committed could change an alarm. Runs beside ingestion: numpy only.

A threshold is a comparison of columns. A point with an alarm that is open or pending, and a point
with a rule that no comparison settles (rate, expression), is always looked at, the latter at most
once in ``EVERY_S``.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from django.db import Error, connection

from facilities.models.alarm import Comparator, RuleKind

from .table import RuleTable, rule_table

if TYPE_CHECKING:
    from facilities.ingest.points import PointColumns

logger = logging.getLogger(__name__)

EVERY_S: Final = 0.5
"""How often rules without a threshold are evaluated for a point at most, and how often this process
asks which alarms are open; half of the second in which an alarm must be raised."""

HOT_S: Final = 10.0
"""A point stays under watch this long after its last crossing, whatever the database says: the
worker may not have written its state yet. Two sweeps."""

MAX_PER_POINT: Final = 20
"""Readings of one point handed to one evaluation; the newest are kept."""

Rows = npt.NDArray[np.int32]


@dataclass(slots=True, eq=False)
class _Limits:
    """By row of one version of the data list."""

    columns: PointColumns
    high: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    always: npt.NDArray[np.bool_]
    on_bad: npt.NDArray[np.bool_]
    open: npt.NDArray[np.bool_]
    hot_until: npt.NDArray[np.float64]
    next_at: npt.NDArray[np.float64]
    special: npt.NDArray[np.bool_]
    """``always | open | hot``: one look says whether a row needs more than a comparison."""


class Screen:
    """Thresholds of all points as columns. One per process; safe from several threads."""

    def __init__(self) -> None:
        self._limits: _Limits | None = None
        self._asked_at = 0.0
        self._lock = threading.Lock()

    def candidates(
        self,
        columns: PointColumns,
        row: Rows,
        value: npt.NDArray[np.float64],
        flags: npt.NDArray[np.uint8],
    ) -> Rows:
        """Return the rows (each once, ascending) whose rules could change with these readings.

        ``row`` indexes ``columns``; the three arrays have one length. At most twice a second it
        asks the database which alarms are open (one query, about 1 ms). When the database is
        away it answers with every row that has a rule.
        """
        if not len(row):
            return row
        now = time.monotonic()
        limits = self._limits
        if limits is None or limits.columns is not columns or now - self._asked_at > EVERY_S:
            limits = self._refresh(columns, now)
            if limits is None:
                return np.unique(row[columns.ruled[row]])
        good = flags <= 2
        crossed = ((value > limits.high[row]) | (value < limits.low[row])) & good
        hit = crossed
        special = limits.special[row]
        if special.any():
            always = limits.always[row] & (limits.next_at[row] <= now)
            hit = hit | always | limits.open[row] | (limits.hot_until[row] > now)
            limits.next_at[row[always]] = now + EVERY_S
        if not good.all():
            hit = hit | (limits.on_bad[row] & ~good)
        rows: Rows = np.unique(row[hit])
        if len(rows):
            newly = np.unique(row[crossed])
            limits.hot_until[newly] = now + HOT_S
            limits.special[newly] = True
        return rows

    def pick(
        self,
        columns: PointColumns,
        row: Rows,
        ts_us: npt.NDArray[np.int64],
        value: npt.NDArray[np.float64],
        flags: npt.NDArray[np.uint8],
        rows: Rows,
    ) -> list[list[Any]]:
        """Return ``[point_id, ts_us, value, flag]`` of the readings of ``rows``, in time order.

        What ``tasks.evaluate_points`` takes as ``values``; at most ``MAX_PER_POINT`` of a point.
        """
        if not len(rows):
            return []
        mask = np.isin(row, rows)
        order = np.flatnonzero(mask)
        order = order[np.lexsort((ts_us[order], row[order]))]
        taken = row[order]
        # How many readings of the same row follow: 0 for the newest.
        last = np.searchsorted(taken, taken, side="right") - 1
        order = order[last - np.arange(len(order)) < MAX_PER_POINT]
        return [
            list(item)
            for item in zip(
                columns.id[row[order]].tolist(),
                ts_us[order].tolist(),
                value[order].tolist(),
                flags[order].tolist(),
                strict=True,
            )
        ]

    def _refresh(self, columns: PointColumns, now: float) -> _Limits | None:
        with self._lock:
            limits = self._limits
            current = limits is not None and limits.columns is columns
            if current and now - self._asked_at <= EVERY_S:
                return limits
            try:
                if limits is None or limits.columns is not columns:
                    limits = build(columns, rule_table(), before=limits)
                rows = columns.rows_of(_open_points())
            except Error as error:
                logger.warning("alarm screen cannot ask the database: %s", error)
                return None
            limits.open[:] = False
            limits.open[rows[rows >= 0]] = True
            limits.special[:] = limits.always | limits.open | (limits.hot_until > now)
            self._limits, self._asked_at = limits, now
            return limits


def build(columns: PointColumns, table: RuleTable, *, before: _Limits | None = None) -> _Limits:
    """Lay the rules out by row; what was hot in ``before`` stays hot."""
    size = len(columns)
    limits = _Limits(
        columns,
        np.full(size, np.inf),
        np.full(size, -np.inf),
        always=np.zeros(size, np.bool_),
        on_bad=np.zeros(size, np.bool_),
        open=np.zeros(size, np.bool_),
        hot_until=np.zeros(size),
        next_at=np.zeros(size),
        special=np.zeros(size, np.bool_),
    )
    ids = np.fromiter(table.by_point, np.int64, len(table.by_point))
    for at, (_, pairs) in zip(columns.rows_of(ids).tolist(), table.by_point.items(), strict=True):
        if at < 0:
            continue
        for pair in pairs:
            if pair.rule.kind == RuleKind.THRESHOLD:
                if pair.levels.comparator == Comparator.ABOVE:
                    limits.high[at] = min(limits.high[at], pair.levels.raise_level)
                else:
                    limits.low[at] = max(limits.low[at], pair.levels.raise_level)
            elif pair.rule.kind == RuleKind.QUALITY:
                limits.on_bad[at] = True
            elif pair.rule.kind in (RuleKind.RATE, RuleKind.EXPRESSION):
                limits.always[at] = True
    inputs = columns.rows_of(np.fromiter(table.hosts, np.int64, len(table.hosts)))
    limits.always[inputs[inputs >= 0]] = True
    if before is not None:
        rows = columns.rows_of(before.columns.id)
        limits.hot_until[rows[rows >= 0]] = before.hot_until[rows >= 0]
    return limits


def _open_points() -> npt.NDArray[np.int64]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT point_id FROM facilities_alarm WHERE cleared_at IS NULL "
            "UNION SELECT point_id FROM facilities_rulestate"
        )
        return np.array([row[0] for row in cursor.fetchall()], np.int64)
