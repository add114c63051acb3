"""The value itself. Levels in the point's unit, or from the envelope of the rack's class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from facilities.alarms.samples import Sample

from .base import Kind, number

if TYPE_CHECKING:
    from facilities.alarms.context import Context
    from facilities.alarms.table import Pair


class Threshold(Kind):
    """Good readings, as they came."""

    name = "threshold"
    keys = ("envelope", "deadband")

    def signals(self, pairs: Sequence[Pair], context: Context) -> list[Sequence[Sample]]:
        """Return the good readings. No query."""
        return [context.good(pair.point.id) for pair in pairs]

    def problems(self, parameters: Any) -> list[str]:
        """Check the envelope's name and the deadband."""
        found = super().problems(parameters)
        if found:
            return found
        if parameters.get("envelope", "recommended") not in ("recommended", "allowable"):
            found.append(f"envelope {parameters['envelope']!r} is not recommended or allowable")
        return found + number(parameters, "deadband", 1.0, 0.0, 100.0)
