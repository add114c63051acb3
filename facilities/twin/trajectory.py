"""What a simulation leaves behind: true values by (kind, quantity) over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .site import Floats, Site
from .state import Key, Values


@dataclass
class Trajectory:
    """``values[kind, quantity]`` has shape (times, members, assets), float32; ``times_s`` (times,).

    ``variants`` groups of equal size share the ensemble axis: group 0 is what happens without
    acting. ``closure`` is the largest relative error of the energy balance of any step.
    """

    site: Site
    times_s: Floats
    values: dict[Key, NDArray[np.float32]]
    variants: int = 1
    closure: float = 0.0
    notes: list[str] = field(default_factory=list)

    def of(self, asset: str, quantity: str, *, variant: int = 0) -> NDArray[np.float32]:
        """One asset's values, shape (times, members of the variant). Raises KeyError, SiteError."""
        kind, index = self.site.locate(asset)
        values = self.values[kind, quantity]
        size = values.shape[1] // self.variants
        return values[:, variant * size : (variant + 1) * size, index]


class Recorder:
    """Collects values during a run; memory is bounded by the keys and the thinning given."""

    def __init__(self, keys: Iterable[Key], samples: int) -> None:
        self.keys = tuple(keys)
        self._samples = samples
        self._times = np.empty(samples)
        self._values: dict[Key, NDArray[np.float32]] = {}
        self._count = 0

    def record(self, time_s: float, values: Values) -> None:
        """Keep one moment. Raises ``KeyError`` for a key that the twin does not compute."""
        for key in self.keys:
            value = values[key]
            if key not in self._values:
                self._values[key] = np.empty((self._samples, *value.shape), dtype=np.float32)
            self._values[key][self._count] = value
        self._times[self._count] = time_s
        self._count += 1

    def trajectory(self, site: Site, *, variants: int, closure: float) -> Trajectory:
        """What was recorded so far."""
        return Trajectory(
            site,
            self._times[: self._count].copy(),
            {key: value[: self._count] for key, value in self._values.items()},
            variants,
            closure,
        )
