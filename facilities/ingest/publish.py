"""What follows a commit of readings: live push and alarm evaluation. Best effort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from facilities import live
from facilities.ingest.points import PointFacts
from facilities.ingest.store import NewValue

PUSH_SIZE = 1_000
"""Readings in one message to the browsers."""


def publish(latest: Sequence[NewValue], points: Mapping[int, PointFacts]) -> None:
    """Tell browsers the new values and have the rules of these points evaluated."""
    known = [(points[new.point_id], new) for new in latest if new.point_id in points]
    for start in range(0, len(known), PUSH_SIZE):
        live.push(
            "telemetry",
            {
                "type": "readings",
                "readings": [
                    {"point": facts.tag, "ts": new.ts.isoformat(), "value": new.value}
                    for facts, new in known[start : start + PUSH_SIZE]
                ],
            },
        )
    ruled = [facts.id for facts, _ in known if facts.ruled]
    if ruled:
        live.evaluate_soon(ruled)
