"""What breaks or is done in a case, on any asset: the faults of the demo plant name one each.

A break sets one field of the plant's ``Conditions``, or spoils one instrument, at a time of its own,
at once or developing. A deed is a setpoint that people write on purpose while the case runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from facilities.demo.plant.conditions import HEALTHY as BY_KIND
from facilities.demo.plant.conditions import Ailment, Conditions
from facilities.demo.plant.faults import FaultBook
from facilities.demo.plant.points import FacilitySpec

INSTRUMENT: Final = "instrument"
AILMENTS: Final = frozenset({"stuck", "silent", "drift", "offset", "spikes", "dropout", "lag"})
# Fields of the whole site, with what is healthy.
SITE: Final[Mapping[str, bool | float]] = {
    f.name: f.default  # type: ignore[misc]
    for f in fields(Conditions)
    if f.name not in BY_KIND and f.name != "instruments"
}
# What a reset of the server heals, as `reset_heals` of the demo plant's faults.
HEALED: Final = frozenset({"gpu_xid", "gpu_lost", "server_nvlink"})
FOREVER_S: Final = 1e9


class BreakError(ValueError):
    """A break or deed that the plant does not know; the text names it and what is known."""


@dataclass(frozen=True, slots=True)
class Break:
    """``what`` at ``where`` becomes ``to`` from ``at_s`` on, within ``over_s``, until ``until_s``.

    ``where`` is an asset, a point where ``what`` is "instrument", or "" where the site has one.
    ``ailment`` says what is wrong with the instrument; ``to`` is then its amount.
    """

    what: str
    where: str = ""
    to: float = 1.0
    ailment: str = ""
    at_s: float = 0.0
    over_s: float = 0.0
    until_s: float = FOREVER_S

    def level(self, since_s: float) -> float:
        """How far it has developed, 0..1, so many seconds after the case began."""
        if not self.at_s <= since_s < self.until_s:
            return 0.0
        return 1.0 if self.over_s <= 0 else min(1.0, (since_s - self.at_s) / self.over_s)

    def apply(self, conditions: Conditions, facility: FacilitySpec, level: float) -> None:
        """Set it in ``conditions``."""
        if self.what == INSTRUMENT:
            conditions.instruments[self.where] = Ailment(self.ailment, self.to * level)
            return
        kind, healthy = BY_KIND.get(self.what, ("", SITE.get(self.what, 0.0)))
        value: bool | float = self.to > 0.5
        if not isinstance(healthy, bool):
            known = not np.isnan(healthy)
            value = healthy + (self.to - healthy) * level if known else self.to
        if kind:
            getattr(conditions, self.what)[facility.place(kind, self.where)] = value
        else:
            setattr(conditions, self.what, value)


@dataclass(frozen=True, slots=True)
class Deed:
    """People write ``value`` to the setpoint ``tag``, ``at_s`` seconds after the case began."""

    at_s: float
    tag: str
    value: float


class BreakBook(FaultBook):
    """A ``FaultBook`` that also holds the breaks of a case, which began at ``began_s``."""

    def __init__(self, facility: FacilitySpec, breaks: Iterable[Break], *, began_s: float) -> None:
        super().__init__(facility)
        self._site = facility
        self._breaks = list(breaks)
        self._began_s = began_s
        self._levels: tuple[float, ...] = ()
        self._made: Conditions | None = None

    def conditions(self, now_s: float) -> Conditions:
        """Health of the equipment; the same object while nothing develops."""
        if self.present:
            raise BreakError("a case has either a fault of the demo plant or breaks of its own")
        levels = tuple(one.level(now_s - self._began_s) for one in self._breaks)
        if self._made is None or levels != self._levels:
            self._made = Conditions.healthy(self._site)
            for one, level in zip(self._breaks, levels, strict=True):
                if level > 0:
                    one.apply(self._made, self._site, level)
            self._levels = levels
        return self._made

    def restarted(self, servers: Iterable[str]) -> None:
        """What a reset heals on these servers is gone."""
        names = set(servers)
        left = [
            one
            for one in self._breaks
            if one.what not in HEALED or one.where.rsplit("-gpu-", 1)[0] not in names
        ]
        if len(left) < len(self._breaks):
            self._breaks, self._made = left, None


def breaks_read(entries: Sequence[Mapping[str, Any]], facility: FacilitySpec) -> tuple[Break, ...]:
    """Breaks as a case file has them: ``{crac_tripped: crac-3, at_s: 60}``,
    ``{crac_coil_ua: crac-1, to: 0.2, over_s: 900}``, ``{instrument: rack-1-06.inlet_c, ailment:
    offset, to: 7}``, ``{utility_available: site, to: 0, until_s: 300}``. Raises ``BreakError``.
    """
    return tuple(_break(dict(entry), facility) for entry in entries)


def _break(entry: dict[str, Any], facility: FacilitySpec) -> Break:
    known = {INSTRUMENT, *BY_KIND, *SITE}
    named = [name for name in entry if name in known]
    strange = set(entry) - known - {"to", "ailment", "at_s", "over_s", "until_s"}
    if len(named) != 1 or strange:
        raise BreakError(f"{entry}: names one of {', '.join(sorted(known))}, not {named}")
    what = named[0]
    where = str(entry[what])
    if what == INSTRUMENT:
        if facility.point(where) is None:
            raise BreakError(f"{entry}: no point is called {where}")
        if entry.get("ailment") not in AILMENTS:
            raise BreakError(f"{entry}: the ailment is one of {', '.join(sorted(AILMENTS))}")
    elif what in BY_KIND:
        tags = [asset.tag for asset in facility.of_kind(BY_KIND[what][0])]
        if where not in tags:
            raise BreakError(f"{entry}: {what} is of {tags[0]} … {tags[-1]}, not of {where}")
    else:
        where = ""
    return Break(
        what=what,
        where=where,
        to=float(entry.get("to", 1.0)),
        ailment=str(entry.get("ailment", "")),
        at_s=float(entry.get("at_s", 0.0)),
        over_s=float(entry.get("over_s", 0.0)),
        until_s=float(entry.get("until_s", FOREVER_S)),
    )


def deeds_read(entries: Sequence[Mapping[str, Any]], facility: FacilitySpec) -> tuple[Deed, ...]:
    """Deeds as a case file has them: ``{at_s: 300, set: crac-4.run_cmd, to: 1}``, in their order.
    Raises ``BreakError``.
    """
    deeds = []
    for entry in entries:
        if set(entry) != {"at_s", "set", "to"}:
            raise BreakError(f"{dict(entry)}: a deed has at_s, set and to")
        tag, value = str(entry["set"]), float(entry["to"])
        point = facility.point(tag)
        if point is None or not point.writable or not point.write_min <= value <= point.write_max:
            raise BreakError(f"{dict(entry)}: {tag} takes no {value:g}")
        deeds.append(Deed(float(entry["at_s"]), tag, value))
    return tuple(sorted(deeds, key=lambda deed: deed.at_s))
