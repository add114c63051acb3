"""What a rule's signal is made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Sample(NamedTuple):
    """A value at a reading time, with the QARTOD flag it carries."""

    ts: datetime
    value: float
    quality: int = 1


def moment(ts_us: int) -> datetime:
    """Return microseconds since 1970 UTC as a time."""
    return _EPOCH + timedelta(microseconds=ts_us)
