"""Which source feeds which UPS, PDU and load, as matrices; built once for a site."""

from __future__ import annotations

from typing import Final

import numpy as np

from facilities.twin.site import Floats, Ints, Site, SiteError

from .state import LOADS

SOURCES: Final = ("utility", "generator")


class Feeds:
    """The distribution network of a site.

    *Targets* are what is fed: every UPS, then every PDU, then every load (racks, mechanical
    plant, one lighting load a hall), in that order. A target without a power link is taken to
    hang on the main switchboard: on all utility feeds and generators.

    ``from_utility`` (N, T), ``from_generator`` (G, T), ``from_ups`` (U, T), ``from_pdu`` (P, T)
    are 1 where the row feeds the column. ``heads`` are the targets with a source of their own.
    Raises ``SiteError`` when PDUs feed one another in a circle, or a UPS hangs below a UPS or PDU.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self.utilities, self.generators = site.count("utility"), site.count("generator")
        self.ups, self.pdus = site.count("ups"), site.count("pdu")
        self.halls = len(site.halls)
        self.loads: dict[str, slice] = {}
        first = 0
        for kind in LOADS:
            self.loads[kind] = slice(first, first + site.count(kind))
            first += site.count(kind)
        self.lighting = slice(first, first + self.halls)
        self.load_count = first + self.halls
        self.ups_columns = slice(0, self.ups)
        self.pdu_columns = slice(self.ups, self.ups + self.pdus)
        self.load_columns = slice(self.ups + self.pdus, self.ups + self.pdus + self.load_count)
        self.targets = self.load_columns.stop
        self.from_utility = self._matrix("utility")
        self.from_generator = self._matrix("generator")
        self.from_ups = self._matrix("ups")
        self.from_pdu = self._matrix("pdu")
        if self.from_ups[:, self.ups_columns].any() or self.from_pdu[:, self.ups_columns].any():
            raise SiteError("a UPS is fed by a UPS or a PDU; feed it from a utility or a generator")
        sourced = self.from_utility.any(axis=0) | self.from_generator.any(axis=0)
        fed = sourced | self.from_ups.any(axis=0) | self.from_pdu.any(axis=0)
        for matrix in (self.from_utility, self.from_generator):
            matrix[:, ~fed] = 1.0
        self.has_sources = bool(self.utilities or self.generators)
        self.heads: Ints = np.flatnonzero(sourced | ~fed)
        self.layers = self._layers()
        self.load_hall = self._load_halls()

    def _matrix(self, source: str) -> Floats:
        parts = [
            self.site.linked("power", source, kind).astype(np.float64)
            for kind in ("ups", "pdu", *LOADS)
        ]
        return np.hstack([*parts, np.zeros((self.site.count(source), self.halls))])

    def _layers(self) -> list[Ints]:
        """PDU indices by depth: a layer is fed by layers before it only."""
        nested = self.from_pdu[:, self.pdu_columns] > 0
        waiting = np.ones(self.pdus, dtype=bool)
        layers: list[Ints] = []
        while waiting.any():
            ready = waiting & ~(nested & waiting[:, None]).any(axis=0)
            if not ready.any():
                tags = [self.site.tags("pdu")[i] for i in np.flatnonzero(waiting)]
                raise SiteError(f"PDUs feed one another in a circle: {', '.join(tags)}")
            layers.append(np.flatnonzero(ready))
            waiting &= ~ready
        return layers

    def _load_halls(self) -> Floats:
        """1 where a load column (row here) stands in a hall, (load_count, H)."""
        halls = [self.site.hall_of(kind) for kind in LOADS]
        index = np.concatenate([*halls, np.arange(self.halls)]).astype(np.int64)
        return membership(index, self.halls)


class Edges:
    """Who is connected to whom: sums along the connections, both ways.

    Built of a matrix (rows, columns) of 0 and 1. Small ones multiply; large ones, which are nearly
    empty, gather and add, so that cost grows with the connections.
    """

    DENSE: Final = 8_192
    """Elements up to which a matrix product is faster (measured: 2 us against 8)."""

    def __init__(self, matrix: Floats) -> None:
        self.shape = matrix.shape
        self._matrix = np.ascontiguousarray(matrix) if matrix.size <= self.DENSE else None
        rows, columns = np.nonzero(matrix)
        self._to_columns = _Sums(rows, columns, matrix.shape[1])
        by_row = np.argsort(rows, kind="stable")
        self._to_rows = _Sums(columns[by_row], rows[by_row], matrix.shape[0])

    def forward(self, values: Floats) -> Floats:
        """(M, rows) to (M, columns): the sum over what is connected."""
        if self._matrix is not None:
            return np.asarray(values @ self._matrix)
        return self._to_columns(values)

    def backward(self, values: Floats) -> Floats:
        """(M, columns) to (M, rows): the sum over what is connected."""
        if self._matrix is not None:
            return np.asarray(values @ self._matrix.T)
        return self._to_rows(values)


class _Sums:
    """``out[:, target[i]] += values[:, source[i]]`` by sorted segments."""

    def __init__(self, source: Ints, target: Ints, count: int) -> None:
        order = np.argsort(target, kind="stable")
        self._source, ordered = source[order], target[order]
        self._targets, self._starts = np.unique(ordered, return_index=True)
        self._all = len(self._targets) == count
        self._count = count

    def __call__(self, values: Floats) -> Floats:
        if not len(self._source):
            return np.zeros((len(values), self._count))
        sums = np.add.reduceat(values[:, self._source], self._starts, axis=1)
        if self._all:
            return sums
        out = np.zeros((len(values), self._count))
        out[:, self._targets] = sums
        return out


def membership(index: Ints, count: int) -> Floats:
    """A matrix (len(index), count) with a 1 at each row's index; rows of -1 are empty."""
    matrix = np.zeros((len(index), count))
    rows = np.flatnonzero(index >= 0)
    matrix[rows, index[rows]] = 1.0
    return matrix
