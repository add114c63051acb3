"""What the twin knows of a site: assets, their attributes and links, indexed by kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


class SiteError(ValueError):
    """The data list cannot be simulated; the message names the asset and what it lacks."""


@dataclass(frozen=True, slots=True)
class AssetRecord:
    """One asset as the data list has it; ``hall``, ``rack`` and ``parent`` are tags.

    A rack's place and rating (``x_m``, ``y_m``, ``rated_w``, ``row``, ``position``) stand among its
    attributes.
    """

    tag: str
    kind: str
    hall: str | None = None
    rack: str | None = None
    parent: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


class LinkRecord(NamedTuple):
    """The source feeds (power), cools (cooling) or carries (network) the target."""

    source: str
    target: str
    kind: str
    attributes: Mapping[str, Any]


class Place(NamedTuple):
    """Where an asset stands in the arrays of its kind."""

    kind: str
    row: int


class Site:
    """Assets by kind, in the order given; that order is the last axis of every array of a kind."""

    def __init__(
        self, assets: Iterable[AssetRecord], links: Iterable[LinkRecord] = (), *, name: str = ""
    ) -> None:
        self.name = name
        self.assets: tuple[AssetRecord, ...] = tuple(assets)
        self.links: tuple[LinkRecord, ...] = tuple(links)
        by_kind: dict[str, list[AssetRecord]] = defaultdict(list)
        self.place: dict[str, Place] = {}
        for asset in self.assets:
            if asset.tag in self.place:
                raise SiteError(f"asset {asset.tag} is listed twice")
            self.place[asset.tag] = Place(asset.kind, len(by_kind[asset.kind]))
            by_kind[asset.kind].append(asset)
        self._by_kind = {kind: tuple(members) for kind, members in by_kind.items()}
        for link in self.links:
            for end in (link.source, link.target):
                if end not in self.place:
                    raise SiteError(
                        f"{link.kind} link {link.source} → {link.target}: no asset is called {end}"
                    )

    def of_kind(self, kind: str) -> tuple[AssetRecord, ...]:
        """The assets of a kind; empty where there is none."""
        return self._by_kind.get(kind, ())

    def count(self, kind: str) -> int:
        """How many assets of a kind there are."""
        return len(self.of_kind(kind))

    def tags(self, kind: str) -> tuple[str, ...]:
        """Tags of a kind, in array order."""
        return tuple(asset.tag for asset in self.of_kind(kind))

    def locate(self, tag: str) -> Place:
        """Kind and place of an asset. Raises ``SiteError`` for an unknown tag."""
        try:
            return self.place[tag]
        except KeyError:
            raise SiteError(f"the twin knows no asset {tag}") from None

    @cached_property
    def halls(self) -> tuple[str, ...]:
        """Tags of the halls; assets of kind hall, or else what racks name as their hall."""
        return self.tags("hall") or tuple(dict.fromkeys(a.hall for a in self.assets if a.hall))

    def attribute(self, kind: str, name: str, default: float) -> Floats:
        """A numeric attribute of every asset of a kind, shape (n,).

        Raises ``SiteError`` for a value that is not a number.
        """
        values = []
        for asset in self.of_kind(kind):
            value = asset.attributes.get(name, default)
            try:
                values.append(float(value))
            except (TypeError, ValueError):
                raise SiteError(
                    f"asset {asset.tag}: attribute {name} is {value!r}, not a number"
                ) from None
        return np.array(values, dtype=np.float64)

    def hall_of(self, kind: str) -> Ints:
        """Index into ``halls`` of every asset of a kind, shape (n,).

        An asset without a hall (a chiller in the yard) is -1.
        """
        places = {tag: index for index, tag in enumerate(self.halls)}
        return np.array([places.get(a.hall or "", -1) for a in self.of_kind(kind)], dtype=np.int64)

    def within(self, kind: str, outer: str) -> Ints:
        """For every asset of ``kind`` the index of the ``outer`` asset that it belongs to, or -1.

        Follows ``parent``, then ``rack``: gpu → server, server → rack, gpu → rack.
        """
        return np.array([self._outer(asset, outer) for asset in self.of_kind(kind)], dtype=np.int64)

    def _outer(self, asset: AssetRecord, outer: str) -> int:
        seen: set[str] = set()
        current: AssetRecord | None = asset
        while current is not None and current.tag not in seen:
            seen.add(current.tag)
            for tag in (current.parent, current.rack):
                place = self.place.get(tag or "")
                if place is not None and place.kind == outer:
                    return place.row
            above = self.place.get(current.parent or "")
            current = self._by_kind[above.kind][above.row] if above else None
        return -1

    def linked(self, link: str, source: str, target: str) -> Flags:
        """Which sources link directly to which targets, shape (sources, targets)."""
        matrix = np.zeros((self.count(source), self.count(target)), dtype=bool)
        for record in self.links:
            from_, to = self.place[record.source], self.place[record.target]
            if record.kind == link and from_.kind == source and to.kind == target:
                matrix[from_.row, to.row] = True
        return matrix

    def point_tags(self, key: tuple[str, str]) -> tuple[str, ...]:
        """Tags of the points of a (kind, quantity), in array order."""
        return tuple(f"{tag}.{key[1]}" for tag in self.tags(key[0]))
