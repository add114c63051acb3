"""What the site has, by name: for whoever has to find equipment in people's words. Reads only."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from django.db.models import Count, Max

from facilities.models import Asset, AssetLink, DataListVersion, Point, Site

MAX_REACH: Final = 2_000


class AssetName(NamedTuple):
    """An asset as people may call it; ``rack``, ``hall`` and ``parent`` are tags or ''."""

    tag: str
    name: str
    kind: str
    rack: str
    hall: str
    parent: str


class QuantityName(NamedTuple):
    """A quantity of a kind of asset: what people call it, its UCUM unit, names of its values."""

    quantity: str
    name: str
    unit: str
    states: dict[str, str]


class Reached(NamedTuple):
    """An asset some links away; ``via`` is the asset before it on the shortest way."""

    tag: str
    distance: int
    via: str


Direction = Literal["upstream", "downstream"]


@dataclass(frozen=True)
class Inventory:
    """Assets by tag, quantities by kind and name, and the links (kind, source, target)."""

    assets: dict[str, AssetName] = field(default_factory=dict)
    quantities: dict[str, dict[str, QuantityName]] = field(default_factory=dict)
    links: tuple[tuple[str, str, str], ...] = ()
    timezone: str = "UTC"

    def of_kind(self, kind: str) -> list[AssetName]:
        """Every asset of a kind, by tag."""
        return [asset for asset in self.assets.values() if asset.kind == kind]

    def reached(self, tag: str, *, link: str, direction: Direction) -> list[Reached]:
        """What is before or behind an asset along one kind of link, nearest first."""
        step: dict[str, list[str]] = defaultdict(list)
        for kind, source, target in self.links:
            if kind == link:
                ends = (target, source) if direction == "upstream" else (source, target)
                step[ends[0]].append(ends[1])
        found: dict[str, Reached] = {}
        queue = deque([(tag, 0)])
        while queue and len(found) < MAX_REACH:
            here, distance = queue.popleft()
            for other in step.get(here, ()):
                if other != tag and other not in found:
                    found[other] = Reached(other, distance + 1, here)
                    queue.append((other, distance + 1))
        return list(found.values())


_lock = threading.Lock()
_kept: tuple[object, Inventory] | None = None


def inventory() -> Inventory:
    """The inventory as it is. Two queries while the data list has not changed, else six."""
    global _kept
    key = (
        DataListVersion.objects.filter(pk=1).values_list("version", flat=True).first(),
        *Asset.objects.aggregate(n=Count("pk"), last=Max("pk")).values(),
    )
    with _lock:
        if _kept is None or _kept[0] != key:
            _kept = (key, _read())
        return _kept[1]


def _read() -> Inventory:
    assets = {
        row[0]: AssetName(row[0], row[1], row[2], row[3] or "", row[4] or "", row[5] or "")
        for row in Asset.objects.order_by("tag").values_list(
            "tag", "name", "kind", "rack__tag", "hall__slug", "parent__tag"
        )
    }
    quantities: dict[str, dict[str, QuantityName]] = defaultdict(dict)
    rows = (
        Point.objects.order_by("asset__kind", "quantity", "tag")
        .distinct("asset__kind", "quantity")
        .values_list("asset__kind", "quantity", "name", "unit", "enum", "asset__name")
    )
    for kind, quantity, name, unit, enum, asset in rows:
        said = name.removeprefix(asset).strip() or name
        states = {str(key): str(value) for key, value in (enum or {}).items()}
        quantities[kind][quantity] = QuantityName(quantity, said, unit, states)
    links = tuple(AssetLink.objects.values_list("kind", "source__tag", "target__tag"))
    site = Site.objects.order_by("slug").first()
    return Inventory(assets, dict(quantities), links, site.timezone if site else "UTC")
