"""What takes a setpoint back to where it is now."""

from __future__ import annotations

from collections.abc import Iterable

from approvals.catalogue.base import Write
from approvals.catalogue.situation import Situation


def restoring(tags: Iterable[str], situation: Situation) -> tuple[Write, ...]:
    """The present values of points as writes, last written first restored.

    A point without a good reading, or that stands outside its write limits, cannot be restored and
    is left out.
    """
    found = []
    for tag in reversed(list(dict.fromkeys(tags))):
        limits, measured = situation.limits.get(tag), situation.values.get(tag)
        if limits and measured and limits.low <= measured.value <= limits.high:
            found.append(Write(tag, measured.value))
    return tuple(found)
