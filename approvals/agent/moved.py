"""What moved with the alarm's point: evidence for people, with where each number comes from."""

from __future__ import annotations

from django.db import DatabaseError

from approvals.agent.timeline import Timeline
from approvals.canonical import iso_utc
from facilities.correlation import correlate_alarm
from facilities.models import Alarm

LISTED = 8
# Sentences that join the facts: a cause and its neighbours, not the whole hall.
TOLD = 3


def find_moved(alarm: Alarm, timeline: Timeline) -> list[str]:
    """Sentences about the points that moved with the alarm's point, most telling first.

    The step records window, lag, correlation, distance and path of each. An investigation goes on
    without this step when the store does not answer it.
    """
    with timeline.step(
        "correlate", "Find what moved with it", alarm=alarm.pk, point=alarm.point.tag
    ) as step:
        try:
            found = correlate_alarm(alarm=alarm, limit=LISTED)
        except (DatabaseError, ValueError) as error:
            step.ok = False
            step.output = {"error": f"{type(error).__name__}: {error}"}
            return []
        step.output = {
            "window": {"start": iso_utc(found.start), "end": iso_utc(found.end)},
            "step_s": found.step_s,
            "points_compared": found.points,
            "significant": found.significant,
            "reason": found.reason,
            "moved": [
                {
                    "tag": match.tag,
                    "r": match.r,
                    "basis": match.basis,
                    "lag_s": match.lag_s,
                    "independent_pairs": match.effective,
                    "q": float(f"{match.q:.2g}"),
                    "distance": match.distance,
                    "path": match.path,
                    "score": match.score,
                    "why": match.why,
                }
                for match in found.matches
            ],
        }
        return [f"{match.tag} {match.why}" for match in found.matches[:TOLD]]
