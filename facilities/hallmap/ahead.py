"""The twin's next half hour if nobody does anything, as frames that continue the measured ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from django.core.cache import cache

from facilities.models import Hall

from .frames import Frames, compact
from .layers import FIELD, Key, keys_of

if TYPE_CHECKING:
    from facilities.tracking.live import Live
    from facilities.twin.site import Site

HORIZON_S: Final = 1800
CACHED_S: Final = 20
"""Viewers within this time share one run; the plant hardly moves meanwhile (assumed)."""


class NoTwin(Exception):
    """The data list cannot be simulated; the text says why."""


def prediction(hall: Hall, *, step_s: int) -> dict[str, Any]:
    """Frames from the live state on, every ``step_s`` for half an hour, in the form of ``Frames``
    with ``fitness`` by quantity and ``closure`` of the energy balance. Raises ``NoTwin``.
    """
    key = f"hallmap:ahead:{hall.pk}:{step_s}"
    found: dict[str, Any] | None = cache.get(key)
    if found is None:
        found = _predicted(hall, step_s)
        cache.set(key, found, CACHED_S)
    return found


def _predicted(hall: Hall, step_s: int) -> dict[str, Any]:
    from facilities.twin.schedule import Schedule

    live = live_twin()
    keys = twin_keys(live)
    run = live.twin.run(
        live.state,
        live.drive,
        Schedule(),
        duration_s=HORIZON_S,
        record=keys,
        every_s=float(step_s),
    )
    at = step_s * np.arange(HORIZON_S // step_s + 1)
    place = np.minimum(np.searchsorted(run.times_s, at - 1e-6), len(run.times_s) - 1)
    values = tagged(live.twin.site, hall.slug, {key: run.values[key][place, 0, :] for key in keys})
    answer = Frames(live.at, step_s, len(at), values, source="twin").as_dict()
    return answer | {
        "fitness": live.fitness,
        "followed": live.followed,
        "closure": float(run.closure),
    }


def live_twin() -> Live:
    """The live twin. Raises ``NoTwin`` with the reason where there is none."""
    from facilities.tracking.live import current

    try:
        return current()
    except ValueError as error:  # SiteError and its like: they name what is missing
        raise NoTwin(f"the twin cannot follow this site: {error}") from error


def twin_keys(live: Live) -> list[Key]:
    """What the map shows of what this twin computes."""
    known = live.twin.values(live.state, live.drive)
    wanted = (*keys_of(("heat", "air", "power", "network")), *FIELD)
    return [key for key in dict.fromkeys(wanted) if key in known]


def tagged(
    site: Site, hall: str, values: dict[Key, np.ndarray[Any, Any]]
) -> dict[str, list[float | None]]:
    """Columns of (times, assets) arrays by ``asset.quantity``, of one hall and of the plant."""
    found: dict[str, list[float | None]] = {}
    for (kind, quantity), array in values.items():
        for number, asset in enumerate(site.of_kind(kind)):
            if asset.hall in (hall, None):
                column = np.asarray(array[:, number], dtype=np.float64)
                found[f"{asset.tag}.{quantity}"] = compact(column, None)
    return found
