"""What an entry of the catalogue is: a change of one or a few drives with a name for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from facilities.twin.drive import DRIVES, Key
from facilities.twin.site import Site

from .limits import DataList, Span

Group = Literal["action", "fault", "outside"]

GPUS = ("gpu", "server", "rack", "hall", "site")
"""Kinds whose GPUs can be moved together."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that may happen or be done.

    ``kinds`` are the kinds of asset it is asked of; ``drives`` what it moves, of the asset itself
    or of everything of that kind inside it, each with a factor on the value. ``value`` is fixed,
    or None when it is asked for; then ``default`` and ``unit`` are for people and ``scale`` makes
    the drive's value of it. ``relative``: added to what is now.
    """

    name: str
    title: str
    group: Group
    kinds: tuple[str, ...]
    drives: tuple[tuple[Key, float], ...]
    sentence: str
    value: float | None = None
    default: float = 0.0
    unit: str = ""
    scale: float = 1.0
    relative: bool = False
    ramp_s: float = 0.0
    low: float | None = None
    high: float | None = None

    @property
    def asks(self) -> bool:
        """Whether a value has to be given."""
        return self.value is None

    def span(self, site: Site, listed: DataList, asset: str) -> Span:
        """Lowest and highest value that may be given for an asset, in the entry's unit."""
        if self.low is not None and self.high is not None:
            return Span(self.low, self.high)
        key, factor = self.drives[0]
        moved = driven(site, key[0], asset)
        spans = [listed.span(key[0], tag, key[1]) for tag in moved[:1] or [asset]]
        scale = self.scale * factor
        return Span(spans[0].low / scale, spans[0].high / scale)


def one(
    name: str,
    title: str,
    group: Group,
    key: Key,
    sentence: str,
    value: float | None = None,
    *,
    default: float = 0.0,
    unit: str = "",
    scale: float = 1.0,
    ramp_s: float = 0.0,
    kinds: tuple[str, ...] = (),
) -> Entry:
    return Entry(
        name,
        title,
        group,
        kinds or (key[0],),
        ((key, 1.0),),
        sentence,
        value,
        default,
        unit or DRIVES[key].unit,
        scale,
        ramp_s=ramp_s,
    )


def driven(site: Site, kind: str, asset: str) -> Sequence[str]:
    """Tags of the assets of ``kind`` that are the asset, or stand in it. Raises ``SiteError``."""
    if kind == "site":
        return ("site",)
    if asset == "site":
        return site.tags(kind)
    place = site.locate(asset)
    if place.kind == kind:
        return (asset,)
    if place.kind == "hall":
        index = site.halls.index(asset) if asset in site.halls else -2
        return [
            t for t, hall in zip(site.tags(kind), site.hall_of(kind), strict=True) if hall == index
        ]
    inside = site.within(kind, place.kind)
    return [tag for tag, row in zip(site.tags(kind), inside, strict=True) if row == place.row]
