"""How much one source may push: a bucket of a second's readings, per process."""

from __future__ import annotations

import math
import time
from typing import Final

from facilities.ingest.auth import Sender
from facilities.ingest.errors import IngestError

BURST_S: Final = 10.0
"""Seconds of its rate that a source may push at once after a pause: agents flush every 10 s."""


class RateLimits:
    """Readings that each source has left. With N web processes a source has N buckets."""

    def __init__(self) -> None:
        self._left: dict[int, tuple[float, float]] = {}

    def take(self, sender: Sender, readings: int, *, now: float | None = None) -> None:
        """Take ``readings`` from the source's bucket.

        A request larger than the bucket passes when the bucket is full and is paid off
        afterwards. Raises ``IngestError`` 429 with the seconds until the bucket has room.
        """
        rate = sender.max_readings_per_s
        if not rate:
            return
        now = time.monotonic() if now is None else now
        full = rate * BURST_S
        left, then = self._left.get(sender.source_id, (full, now))
        left = min(left + (now - then) * rate, full)
        if left < min(readings, full):
            wait_s = math.ceil((min(readings, full) - left) / rate)
            self._left[sender.source_id] = (left, now)
            raise IngestError(
                429,
                "rate_limited",
                f"source {sender.name} may push {rate:g} readings/s and has used them up; "
                f"nothing of this request is stored, send it again in {wait_s} s",
                retry_after_s=wait_s,
            )
        self._left[sender.source_id] = (left - readings, now)
