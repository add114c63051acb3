"""Counts by source and minute: performance → transform → transfer, kept in the process.

Written every few seconds; a killed process loses the counts of those seconds, never a reading.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Final

import numpy as np
import numpy.typing as npt
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from facilities.ingest.pipeline import Group
from facilities.models.reading import Quality

KEPT_MINUTES: Final = 60
"""Minutes of counts that are kept while the database is away; assumed."""


@dataclass(slots=True)
class Flow:
    """Counters of one source in one minute; fields as ``SourceFlow`` describes them."""

    requests: int = 0
    refused: int = 0
    bytes: int = 0
    received: int = 0
    decoded: int = 0
    converted: int = 0
    rejected: int = 0
    flagged: int = 0
    late: int = 0
    duplicates: int = 0
    stored: int = 0
    performance_s: float = 0.0
    performance_max_s: float = 0.0
    transform_s: float = 0.0
    transform_max_s: float = 0.0
    transfer_s: float = 0.0
    transfer_max_s: float = 0.0

    def add(self, other: Flow) -> None:
        """Take another's counters into this one: sums add up, maxima stay the largest."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _MAXIMA:
            setattr(self, name, max(getattr(self, name), getattr(other, name)))


_NAMES: Final = tuple(field.name for field in fields(Flow))
_MAXIMA: Final = tuple(name for name in _NAMES if name.endswith("_max_s"))
_SUMS: Final = tuple(name for name in _NAMES if name not in _MAXIMA)
_ADD: Final = f"""
INSERT INTO facilities_sourceflow AS flow (source_id, minute, {", ".join(_NAMES)})
SELECT id, to_timestamp(%s), {", ".join(["%s"] * len(_NAMES))}
FROM facilities_source WHERE id = %s
ON CONFLICT (source_id, minute) DO UPDATE SET
{", ".join(f"{name} = flow.{name} + EXCLUDED.{name}" for name in _SUMS)},
{", ".join(f"{name} = greatest(flow.{name}, EXCLUDED.{name})" for name in _MAXIMA)}
"""  # noqa: S608 - names of this module only
# In the order of the id, as every process does it, so that none waits in a circle.
_SEEN: Final = """
UPDATE facilities_source SET last_seen_at = greatest(coalesce(last_seen_at, %s), %s) WHERE id = %s
"""


def flow_add(cursor: CursorWrapper, rows: Iterable[tuple[int, int, Flow]]) -> None:
    """Add counters given as (source id, epoch minute, flow) to the table.

    Processes add to one another. A source deleted meanwhile is left out. Rows go in one order, so
    that processes never wait for one another in a circle.
    """
    for source_id, minute, flow in sorted(rows, key=lambda row: row[:2]):
        values = [getattr(flow, name) for name in _NAMES]
        cursor.execute(_ADD, [minute * 60, *values, source_id])


class Tally:
    """Counters by (source, minute) since the last flush. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flows: dict[tuple[int, int], Flow] = {}
        self._seen: dict[int, float] = {}

    def note_refused(self, source_id: int, *, size: int) -> None:
        """Count a request of a known source that was answered 4xx or 5xx as a whole."""
        with self._lock:
            flow = self._of(source_id)
            flow.requests += 1
            flow.refused += 1
            flow.bytes += size

    def note_group(self, group: Group, *, late: npt.NDArray[np.bool_]) -> None:
        """Count a committed group. ``late`` marks readings older than their point's newest."""
        size = len(group.pushes)
        delay_s = (group.received_us() - group.ts_us) / 1e6
        stored = np.bincount(group.push, minlength=size)
        delays = np.bincount(group.push, weights=delay_s, minlength=size)
        longest = np.zeros(size)
        np.maximum.at(longest, group.push, delay_s)
        bad = (group.flag == Quality.SUSPECT) | (group.flag == Quality.FAIL)
        flagged = np.bincount(group.push[bad], minlength=size)
        delayed = np.bincount(group.push[late], minlength=size)
        with self._lock:
            for at, push in enumerate(group.pushes):
                if push.error is not None:
                    continue
                transform_s = push.decode_s + group.convert_s
                spent_s = (group.committed_us - push.received_us) / 1e6
                transfer_s = max(spent_s - transform_s, 0.0)
                self._of(push.sender.source_id).add(
                    Flow(
                        requests=1,
                        bytes=push.bytes,
                        received=push.size,
                        decoded=len(push.samples.series),
                        converted=push.converted,
                        rejected=len(push.rejected),
                        flagged=int(flagged[at]),
                        late=int(delayed[at]),
                        duplicates=push.repeats,
                        stored=int(stored[at]),
                        performance_s=float(delays[at]),
                        performance_max_s=float(longest[at]),
                        transform_s=transform_s,
                        transform_max_s=transform_s,
                        transfer_s=transfer_s,
                        transfer_max_s=transfer_s,
                    )
                )
            for source_id, repeats in group.repeats.items():
                flow = self._of(source_id)
                flow.duplicates += repeats
                flow.stored -= repeats

    def _of(self, source_id: int) -> Flow:
        now = time.time()
        self._seen[source_id] = now
        return self._flows.setdefault((source_id, int(now // 60)), Flow())

    def flush(self) -> None:
        """Add the counts to ``SourceFlow`` and note when each source was last heard.

        What cannot be written is kept for the next time. Raises the database's errors.
        """
        with self._lock:
            flows, self._flows = self._flows, {}
            seen, self._seen = self._seen, {}
        if not flows and not seen:
            return
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                flow_add(cursor, [(*key, flow) for key, flow in flows.items()])
                for source_id, when in sorted(seen.items()):
                    at = datetime.fromtimestamp(when, UTC)
                    cursor.execute(_SEEN, [at, at, source_id])
        except Exception:
            oldest = int(time.time() // 60) - KEPT_MINUTES
            with self._lock:
                for key, flow in flows.items():
                    if key[1] > oldest:
                        self._flows.setdefault(key, Flow()).add(flow)
                for source_id, when in seen.items():
                    self._seen[source_id] = max(self._seen.get(source_id, 0.0), when)
            raise


tally = Tally()
