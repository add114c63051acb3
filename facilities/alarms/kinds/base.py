"""The contract of a rule kind: it turns points into signals; levels and delay judge those."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from facilities.alarms.samples import Sample

if TYPE_CHECKING:
    from facilities.alarms.context import Context
    from facilities.alarms.table import Pair, Watched

ENVELOPE_KEYS = ("envelope", "deadband")


class Kind(ABC):
    """One kind of rule. Stateless: what it says depends only on readings and the clock."""

    name: ClassVar[str]
    unit: ClassVar[str] = ""
    """Unit of the signal, for people; empty means the unit of the point."""
    keys: ClassVar[tuple[str, ...]] = ()
    """Parameters it knows."""
    on_clock: ClassVar[bool] = False
    """Whether the signal changes without a reading; then only the sweep sees it rise."""
    of_instrument: ClassVar[bool] = False
    """Whether it speaks of the instrument and its way here, not of what the instrument measures."""

    @abstractmethod
    def signals(self, pairs: Sequence[Pair], context: Context) -> list[Sequence[Sample]]:
        """Return each pair's samples in time order; an empty list where nothing can be said.

        A bounded number of queries, whatever the number of pairs.
        """

    def inputs(
        self, parameters: Mapping[str, Any], point: Watched, by_tag: Mapping[str, Watched]
    ) -> dict[str, int]:
        """Return the further points it reads, by name. Raises ``ValueError`` saying what lacks."""
        return {}

    def problems(self, parameters: Any) -> list[str]:
        """Say what is wrong with the parameters, in sentences."""
        if not isinstance(parameters, dict):
            return ["parameters must be a JSON object"]
        unknown = sorted(set(parameters) - set(self.keys))
        known = ", ".join(self.keys) or "none"
        return [f"unknown parameter {key!r}; known are {known}" for key in unknown]


def number(
    parameters: Mapping[str, Any], key: str, default: float, low: float, high: float
) -> list[str]:
    """Say what is wrong with one number."""
    value = parameters.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return [f"{key} must be a number, not {value!r}"]
    if not low <= value <= high:
        return [f"{key} {value:g} is not from {low:g} to {high:g}"]
    return []
