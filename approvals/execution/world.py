"""The plant as it is now, right before something is written to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.utils import timezone

from approvals.catalogue import check_conditions
from approvals.catalogue.base import Checked
from approvals.catalogue.situation import Measured
from approvals.situations import latest_measured, measured_at
from facilities import selectors
from facilities.models import LatestReading

# One and a half intervals of the demo plant, as the agent waits (assumed).
SNAPSHOT_WAIT_S = 3.0
# A snapshot older than this is taken again before anything is decided on it (assumed).
SNAPSHOT_VALID_S = 10.0


class World(NamedTuple):
    """One consistent state of some points, and when it was read."""

    at: datetime
    values: dict[str, Measured]

    @property
    def is_fresh(self) -> bool:
        return (timezone.now() - self.at).total_seconds() <= SNAPSHOT_VALID_S

    def hold(self, conditions: Iterable[Mapping[str, Any]]) -> list[Checked]:
        """Hold conditions against it; a value that is missing, old or of failed quality fails."""
        return check_conditions(conditions, self.values, now=timezone.now())


def world_now(*, conditions: Iterable[Mapping[str, Any]], tags: Iterable[str] = ()) -> World:
    """Wait until every source is in, at most SNAPSHOT_WAIT_S, and read the points of the conditions
    and `tags` in one statement. Call it outside of transactions: it waits. Without conditions
    nothing depends on who is in, and nobody waits.
    """
    asked = [c["tag"] for c in conditions]
    taken = selectors.snapshot(
        mode="complete" if asked else "latest",
        timeout_s=SNAPSHOT_WAIT_S,
        tags=sorted({*asked, *tags}),
        reader="executor",
    )
    return World(taken.at, measured_at(taken))


def measured_here(*, tags: Iterable[str]) -> dict[str, Measured]:
    """Latest values whose time is never later than their arrival: by the clock of a source that is
    ahead (up to 300 s are taken in) a reading from before a write would look newer than it.
    """
    asked = list(tags)
    rows = LatestReading.objects.filter(point__tag__in=asked)
    arrived = dict(rows.values_list("point__tag", "received_at"))
    return {
        tag: measured._replace(ts=min(measured.ts, arrived.get(tag, measured.ts)))
        for tag, measured in latest_measured(tags=asked).items()
    }


def held_since(conditions: Iterable[Mapping[str, Any]], *, since: datetime) -> list[Checked]:
    """Hold conditions against readings taken after `since`: an older one says nothing about what
    was written then."""
    wanted = list(conditions)
    values = measured_here(tags=[c["tag"] for c in wanted])
    return check_conditions(
        wanted, {tag: m for tag, m in values.items() if m.ts > since}, now=timezone.now()
    )
