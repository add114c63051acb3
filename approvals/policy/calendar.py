"""When the windows stand in the coming weeks."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from approvals.policy.windows import windows_from


class Occurrence(NamedTuple):
    """One span in which a window stands; `covers` in words."""

    window: int
    name: str
    kind: str
    start: datetime
    end: datetime
    covers: str
    reason: str


def occurrences(*, after: datetime, before: datetime) -> list[Occurrence]:
    """Every span of every window between two times, in order (one query)."""
    found = [
        Occurrence(w.pk, w.name, w.kind, s.start, s.end, w.match.words, w.reason)
        for w in windows_from(after)
        for s in w.spans(after, before)
    ]
    return sorted(found, key=lambda one: (one.start, one.end, one.window))
