"""The data list and the plant's graph as the search needs them, read once per change."""

from __future__ import annotations

import threading
import time
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from django.db import connection

from facilities.models import Asset, AssetLink, Point

from .core import Floats, Ints
from .graph import Steps, neighbours, reach
from .significance import prior_weight

KEPT_S: Final = 30.0
"""Links change without a new version of the data list: they are read again after this. assumed"""


class PointFacts(NamedTuple):
    """What is shown of a point."""

    tag: str
    name: str
    asset: str
    unit: str
    asset_id: int


class Known:
    """Points by id and tag, and distances between their assets."""

    def __init__(self) -> None:
        self.by_id = {
            row[0]: PointFacts(*row[1:])
            for row in Point.objects.values_list(
                "pk", "tag", "name", "asset__tag", "unit", "asset_id"
            )
        }
        self.by_tag = {facts.tag: pk for pk, facts in self.by_id.items()}
        edges = list(AssetLink.objects.order_by().values_list("source_id", "target_id"))
        self.assets: dict[int, str] = {}
        for pk, tag, parent in Asset.objects.order_by().values_list("pk", "tag", "parent_id"):
            self.assets[pk] = tag
            if parent is not None:
                edges.append((pk, parent))
        self._graph = neighbours(edges)
        self._reach = lru_cache(maxsize=64)(lambda asset: reach(asset, self._graph))

    def steps(self, own: int, other: int) -> Steps | None:
        """Links between the assets of two points, or None when they are not connected."""
        return self._reach(self.by_id[own].asset_id).get(self.by_id[other].asset_id)

    def path(self, steps: Steps | None) -> list[str]:
        """Tags of the assets on the way."""
        return [] if steps is None else [self.assets[pk] for pk in steps.path]

    def distances(self, own: int, others: Ints) -> Floats:
        """Links from one point to each of the others; infinite where not connected."""
        reached = self._reach(self.by_id[own].asset_id)
        by_id = self.by_id
        steps = (reached.get(by_id[pk].asset_id) for pk in others.tolist())
        return np.array([np.inf if s is None else s.distance for s in steps], dtype=np.float64)

    def weights(self, own: int, others: Ints) -> Floats:
        """What is expected of each of the others before looking; 1 on average over all points."""
        every = np.fromiter(self.by_id, np.int64, len(self.by_id))
        weight = dict(
            zip(every.tolist(), prior_weight(self.distances(own, every)).tolist(), strict=True)
        )
        return np.array([weight[pk] for pk in others.tolist()])


class _Cached(NamedTuple):
    version: int | None
    read_at: float
    known: Known


_lock = threading.Lock()
_cached: list[_Cached] = []


def known_points() -> Known:
    """Return the points and the graph; read again when the data list has a new version."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT version FROM facilities_datalistversion WHERE id = 1")
        row = cursor.fetchone()
    version = row[0] if row else None
    with _lock:
        kept = _cached[0] if _cached else None
        if kept and kept.version == version and time.monotonic() - kept.read_at < KEPT_S:
            return kept.known
        _cached[:] = [_Cached(version, time.monotonic(), Known())]
        return _cached[0].known


def forget() -> None:
    """Empty the cache."""
    with _lock:
        _cached.clear()
