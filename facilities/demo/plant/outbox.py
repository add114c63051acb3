"""Delivery of readings: every batch is kept until the receiver has acknowledged it.

The queue lives in memory and is bounded. When it is full the oldest batch goes, and that is
counted and logged: nothing is dropped in silence.
"""

import json
import logging
import math
import random
import threading
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

logger = logging.getLogger(__name__)

CAPACITY_BATCHES = 1800  # an hour at one batch every 2 s, about 17 MB
RETRY_FIRST_S = 0.5
RETRY_LAST_S = 10.0
TIMEOUT_S = 10.0
ACKED_LOG_BYTES = 2 * 1024 * 1024
PERMANENT = frozenset({400, 413, 415, 422})


@dataclass(frozen=True)
class Batch:
    """All points at one time. `values` is in the order of the outbox's tags."""

    ts: str
    values: "array[float]"


@dataclass
class Counters:
    """What happened to batches since the start."""

    delivered: int = 0
    dropped: int = 0
    refused: int = 0
    rejected_readings: int = 0
    last_error: str = ""


class Outbox:
    """Sends batches to `POST {web_url}/api/v1/readings` in order, one at a time, until answered."""

    def __init__(
        self,
        tags: list[str],
        *,
        web_url: str,
        read_token: Callable[[], str],
        acked_log: Path,
        capacity: int = CAPACITY_BATCHES,
        retry_first_s: float = RETRY_FIRST_S,
    ) -> None:
        self._tags = tags
        self._url = web_url.rstrip("/") + "/api/v1/readings"
        self._read_token = read_token
        self._acked_log = acked_log
        self._capacity = capacity
        self._retry_first_s = retry_first_s
        self._queue: deque[Batch] = deque()
        self._ready = threading.Condition()
        self._stopping = False
        self._client = httpx.Client(timeout=TIMEOUT_S, trust_env=False)
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self.counters = Counters()

    def start(self) -> None:
        self._acked_log.parent.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop sending; what is still queued is reported."""
        with self._ready:
            self._stopping = True
            self._ready.notify_all()
        self._thread.join(timeout=1.0)
        self._client.close()
        if self._queue:
            logger.warning("%d batches were not acknowledged at shutdown", len(self._queue))

    @property
    def pending(self) -> int:
        return len(self._queue)

    def put(self, batch: Batch) -> None:
        """Queue a batch; drops (and reports) the oldest one when the queue is full."""
        with self._ready:
            if len(self._queue) >= self._capacity:
                oldest = self._queue.popleft()
                self.counters.dropped += 1
                logger.error(
                    "outbox full (%d batches): dropped the batch of %s; %d dropped since the start",
                    self._capacity,
                    oldest.ts,
                    self.counters.dropped,
                )
            self._queue.append(batch)
            self._ready.notify_all()

    def _run(self) -> None:
        delay_s = self._retry_first_s
        while True:
            with self._ready:
                while not self._queue and not self._stopping:
                    self._ready.wait()
                if self._stopping:
                    return
                batch = self._queue[0]
            wait_s = self._send(batch)
            if wait_s is None:
                delay_s = self._retry_first_s
                self._forget(batch)
                continue
            with self._ready:
                # Jitter keeps several agents from returning in step after an outage.
                self._ready.wait_for(
                    lambda: self._stopping,
                    timeout=max(wait_s, delay_s * random.uniform(0.5, 1.0)),  # noqa: S311
                )
            delay_s = min(delay_s * 2, RETRY_LAST_S)

    def _forget(self, batch: Batch) -> None:
        with self._ready:
            # The batch may have been dropped for room while it was under way.
            if self._queue and self._queue[0] is batch:
                self._queue.popleft()

    def _send(self, batch: Batch) -> float | None:
        """Send one batch: None when it is settled, else the least seconds before a retry."""
        said = [
            (tag, value)
            for tag, value in zip(self._tags, batch.values, strict=True)
            if not math.isnan(value)  # an instrument that says nothing
        ]
        tags = [tag for tag, _ in said]
        body = {"readings": [{"point": t, "ts": batch.ts, "value": value} for t, value in said]}
        try:
            answer = self._client.post(
                self._url,
                content=json.dumps(body, separators=(",", ":")),
                headers={
                    "Authorization": f"Token {self._read_token()}",
                    "Content-Type": "application/json",
                },
            )
            if answer.status_code == 200:
                self._acknowledged(batch, tags, answer.json())
                return None
        except (httpx.HTTPError, OSError, ValueError, LookupError, TypeError) as error:
            return self._failed(f"{self._url}: {error or type(error).__name__}")
        detail = f"{self._url} answered {answer.status_code}: {answer.text[:200]}"
        if answer.status_code in PERMANENT:
            self.counters.refused += 1
            self.counters.last_error = detail
            logger.error("batch of %s refused for good, %s", batch.ts, detail)
            return None
        after = answer.headers.get("Retry-After", "")
        return self._failed(detail, retry_after_s=float(after) if after.isdigit() else 0.0)

    def _failed(self, detail: str, *, retry_after_s: float = 0.0) -> float:
        if detail != self.counters.last_error:
            logger.warning("not delivered, will retry: %s", detail)
        self.counters.last_error = detail
        return min(retry_after_s, RETRY_LAST_S)

    def _acknowledged(self, batch: Batch, tags: list[str], answer: dict[str, Any]) -> None:
        if self.counters.last_error:
            logger.info("delivering again, %d batches waiting", self.pending)
        self.counters.last_error = ""
        rejected = answer.get("rejected", [])
        if rejected:
            self.counters.rejected_readings += len(rejected)
            first = rejected[0]
            logger.warning(
                "%d of %d readings of %s rejected; first: %s %s %s",
                len(rejected),
                len(tags),
                batch.ts,
                tags[first["index"]],
                first["code"],
                first["detail"],
            )
        line = {
            "ts": batch.ts,
            "accepted": answer.get("accepted"),
            "rejected": [tags[item["index"]] for item in rejected],
        }
        if self._acked_log.exists() and self._acked_log.stat().st_size > ACKED_LOG_BYTES:
            self._acked_log.replace(self._acked_log.with_suffix(".log.1"))
        with self._acked_log.open("a") as log:
            log.write(json.dumps(line, separators=(",", ":")) + "\n")
        self.counters.delivered += 1
