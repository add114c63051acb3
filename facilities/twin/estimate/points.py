"""The measured points of a site as arrays: what belongs where, how good the instruments are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from facilities.twin.site import Floats, Site

from .sensor import SUSPECT, Instruments

Key = tuple[str, str]

DEFAULT_INTERVAL_S: Final = 10.0
DEFAULT_STEPS: Final = 1000
"""An instrument that declares no precision is taken for one of this many steps (assumed)."""

SLOPE_NOISE: Final = 1.3e-5
"""How restless temperatures are, K²/s³: a slope of 0.02 K/s (1.2 K a minute, loss of a cooling
unit) comes about within 30 s (assumed)."""


class PointSpec(NamedTuple):
    """One line of the data list, as the tracker needs it. ``low``/``high``: range, or None."""

    tag: str
    kind: str
    asset: str
    quantity: str
    unit: str
    precision: float | None
    tau_s: float | None
    interval_s: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Column:
    """Points of one (kind, quantity), in the order of the assets; ``at`` -1: no such point."""

    key: Key
    specs: tuple[PointSpec | None, ...]

    @property
    def tags(self) -> tuple[str, ...]:
        """Tag of each asset's point, or an empty string."""
        return tuple(spec.tag if spec else "" for spec in self.specs)

    def numbers(self, name: str, default: float) -> Floats:
        """A number of each spec, (assets,)."""
        values = [getattr(s, name) if s is not None else None for s in self.specs]
        return np.array([default if v is None else float(v) for v in values])

    def precision(self) -> Floats:
        """Smallest step of each instrument; from its range where it declares none."""
        found = []
        for spec in self.specs:
            step = spec.precision if spec else None
            if step is None and spec is not None and None not in (spec.low, spec.high):
                step = (float(spec.high or 0) - float(spec.low or 0)) / DEFAULT_STEPS
            found.append(0.1 if step is None else step)
        return np.array(found)


class Points:
    """All columns of a site. Reads tags into arrays; refuses what is flagged or out of range."""

    def __init__(self, site: Site, specs: Iterable[PointSpec]) -> None:
        self.site = site
        by_key: dict[Key, list[PointSpec | None]] = {}
        for spec in specs:
            place = site.place.get(spec.asset)
            if place is None or place.kind != spec.kind:
                continue
            key = (spec.kind, spec.quantity)
            row = by_key.setdefault(key, [None] * site.count(spec.kind))
            row[place.row] = spec
        self.columns = {key: Column(key, tuple(row)) for key, row in by_key.items()}
        self._where = {
            spec.tag: (key, row, spec.low, spec.high)
            for key, column in self.columns.items()
            for row, spec in enumerate(column.specs)
            if spec is not None
        }

    def read(
        self, readings: Mapping[str, tuple[float, int]]
    ) -> tuple[dict[Key, Floats], dict[Key, Floats]]:
        """Values and factors on their variance by key, each (assets,).

        A value is NaN where nothing came, where the QARTOD flag is fail or missing, where it is
        no number or out of its instrument's range. The factor is 9 for a suspect reading.
        """
        values = {k: np.full(len(c.specs), np.nan) for k, c in self.columns.items()}
        factors = {k: np.ones(len(c.specs)) for k, c in self.columns.items()}
        for tag, (value, flag) in readings.items():
            where = self._where.get(tag)
            if where is None or flag > SUSPECT or not np.isfinite(value):
                continue
            key, row, low, high = where
            if (low is not None and value < low) or (high is not None and value > high):
                continue
            values[key][row] = value
            if flag == SUSPECT:
                factors[key][row] = 9.0
        return values, factors

    def instruments(self, keys: Iterable[Key]) -> Instruments:
        """The instruments of these columns, one after another."""
        columns = [self.columns[key] for key in keys]
        interval = _joined([c.numbers("interval_s", DEFAULT_INTERVAL_S) for c in columns])
        return Instruments(
            tau_s=_joined([c.numbers("tau_s", 0.0) for c in columns]),
            precision=_joined([c.precision() for c in columns]),
            delay_s=0.5 * interval,
            slope_noise=np.full(len(interval), SLOPE_NOISE),
        )


def _joined(parts: list[Floats]) -> Floats:
    return np.concatenate(parts) if parts else np.empty(0)
