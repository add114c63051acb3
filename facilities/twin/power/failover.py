"""What happens when one element of the power chain is lost: every contingency in one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from facilities.twin.drive import Drive
from facilities.twin.site import Floats

from .model import Power
from .state import LOADS, PowerState

SETTLE_S: Final = 90.0
"""Long enough for a generator to start and take over (assumed; 12 s start, 3 s transfer)."""

STEP_S: Final = 5.0

_LOSS: Final = {
    "utility": (("available", 0.0),),
    "generator": (("fails_to_start", 1.0),),
    "ups": (("isolated", 1.0),),
    "pdu": (("failed", 1.0),),
}


@dataclass(frozen=True, slots=True)
class Loading:
    """How much one element would carry. ``trips_after_s`` is None while it holds for good."""

    tag: str
    share: float
    trips_after_s: float | None


@dataclass(frozen=True, slots=True)
class Contingency:
    """The site after ``lost`` is gone.

    ``verdict``: ``holds`` (everything stays on within its rating), ``overload`` (something is
    above its rating), ``loses`` (loads go off). ``interrupted`` are loads that were off for a
    moment (until a generator took over) and came back.
    """

    lost: str
    kind: str
    verdict: str
    dropped: tuple[str, ...]
    interrupted: tuple[str, ...]
    worst: Loading | None
    loadings: tuple[Loading, ...]
    lowest_charge: float | None


def contingencies(
    power: Power,
    state: PowerState,
    drive: Drive,
    *,
    server_w: Floats,
    mechanical_w: Mapping[str, Floats],
) -> list[Contingency]:
    """Lose each utility feed, UPS and PDU in turn from the present state, one member each.

    ``server_w`` and ``mechanical_w`` are held; shapes (1, n). Nothing given is changed.
    """
    site = power.site
    elements = [(kind, tag) for kind in ("utility", "ups", "pdu") for tag in site.tags(kind)]
    if not elements:
        return []
    count = len(elements)
    ensemble = drive.repeated(count)
    for member, (kind, tag) in enumerate(elements):
        for quantity, value in _LOSS[kind]:
            ensemble.set(tag, quantity, value, members=slice(member, member + 1))
    running = state.repeated(count)
    before_on = np.hstack([running.powered[kind] for kind in LOADS])
    demand = {kind: np.repeat(value[:1], count, axis=0) for kind, value in mechanical_w.items()}
    servers = np.repeat(server_w[:1], count, axis=0)
    least_on, least_charge = before_on.copy(), running.charge.copy()
    for _ in range(round(SETTLE_S / STEP_S)):
        power.step(running, ensemble, server_w=servers, mechanical_w=demand, dt_s=STEP_S)
        np.minimum(least_on, np.hstack([running.powered[k] for k in LOADS]), out=least_on)
        np.minimum(least_charge, running.charge, out=least_charge)
    after_on = np.hstack([running.powered[kind] for kind in LOADS])
    tags = [tag for kind in LOADS for tag in site.tags(kind)]
    names, shares, trips = _loadings(power, running)
    return [
        _judged(
            tag,
            kind,
            _named(tags, (before_on[m] > 0.5) & (after_on[m] < 0.5)),
            _named(tags, (before_on[m] > 0.5) & (least_on[m] < 0.5) & (after_on[m] >= 0.5)),
            _each(names, shares[m], trips[m]),
            float(least_charge[m].min()) if least_charge.shape[1] else None,
        )
        for m, (kind, tag) in enumerate(elements)
    ]


def _named(tags: list[str], chosen: Floats) -> tuple[str, ...]:
    return tuple(tags[i] for i in np.flatnonzero(chosen))


def _loadings(power: Power, state: PowerState) -> tuple[list[str], Floats, Floats]:
    """Names, share of rating and time to trip of every PDU, UPS and generator, (M, n)."""
    pdu = state.pdu_w / power.breaker_w
    ups = state.ups_w / power.ups_rated_w
    generator = state.generator_w / power.sources.rated_w
    names = [tag for kind in ("pdu", "ups", "generator") for tag in power.site.tags(kind)]
    trips = [
        power.breaker.tolerated_s(pdu),
        np.where(ups > 1.0, power.ups_allowance.tolerated_s(ups), np.inf),
        np.where(generator > 1.0, power.sources.allowance.tolerated_s(generator), np.inf),
    ]
    return names, np.hstack([pdu, ups, generator]), np.hstack(trips)


def _each(names: list[str], shares: Floats, trips: Floats) -> tuple[Loading, ...]:
    return tuple(
        Loading(name, float(share), float(after) if np.isfinite(after) else None)
        for name, share, after in zip(names, shares, trips, strict=True)
    )


def _judged(
    tag: str,
    kind: str,
    dropped: tuple[str, ...],
    interrupted: tuple[str, ...],
    loadings: tuple[Loading, ...],
    charge: float | None,
) -> Contingency:
    worst = max(loadings, key=lambda loading: loading.share, default=None)
    verdict = "holds"
    if dropped:
        verdict = "loses"
    elif worst is not None and worst.share > 1.0:
        verdict = "overload"
    return Contingency(tag, kind, verdict, dropped, interrupted, worst, loadings, charge)
