"""What every wire format is made of, and the last check that all decoders share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np

from facilities.ingest.errors import IngestError
from facilities.ingest.samples import Rejected, Samples
from facilities.ingest.wire import Response, Result

MAX_SAMPLES: Final = 50_000
"""Samples in one request; assumed, keeps one transaction below about a second."""

MAX_KEY: Final = 1_000
"""Characters of a series key; assumed. Prometheus' own labels of a series stay far below."""

MAX_RAW: Final = 1_000
"""Characters of a refused item that are kept for the quarantine; assumed."""

MAX_LISTED: Final = 100
"""Rejections that an error message names; InfluxDB 3 lists as many."""

Headers = Mapping[str, str]
Query = Mapping[str, str]


class Decode(Protocol):
    """Turn a body as sent (still compressed) into samples.

    ``content_type`` is the header's value; ``now_us`` stands for a missing time; ``limit`` bounds
    the decompressed body in bytes. Raises ``IngestError`` and nothing else.
    """

    def __call__(
        self,
        body: bytes,
        content_type: str,
        headers: Headers,
        query: Query,
        now_us: int,
        limit: int,
    ) -> Samples: ...


@dataclass(frozen=True)
class Format:
    """A wire format: where it arrives, how it is read, and what its agents expect to hear.

    ``answer`` is called after the commit, ``refuse`` when the whole request is refused; ``token``
    finds the source's token where these agents put it.
    """

    name: str
    paths: tuple[str, ...]
    token: Callable[[Headers, Query], str]
    decode: Decode
    answer: Callable[[Result, Headers, Query], Response]
    refuse: Callable[[IngestError, Headers], Response]


def media_type(content_type: str) -> str:
    """The type of a ``Content-Type`` header without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def json_response(status: int, data: Any, **headers: str) -> Response:
    """An answer in JSON."""
    body = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return Response(status, body.encode("utf-8", "replace"), "application/json", headers)


def plain_refusal(error: IngestError, headers: Headers) -> Response:
    """A refusal as this platform's own API shapes it: ``{"code", "detail"}``."""
    return json_response(
        error.status, {"code": error.code, "detail": error.detail}, **retry_headers(error)
    )


def retry_headers(error: IngestError) -> dict[str, str]:
    """The headers that go with a refusal: when to come back, how to authenticate."""
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Token"
    return headers


def retryable(error: IngestError, *dropped_at: int) -> IngestError:
    """The same refusal with 503, where the agent drops a batch at a status that means "later".

    ``dropped_at`` are such statuses: 408 and 429 for agents that take every 4xx for final.
    """
    if error.status not in dropped_at:
        return error
    return IngestError(503, error.code, error.detail, retry_after_s=error.retry_after_s or 1)


def show(value: Any, most: int = 60) -> str:
    """Quote a foreign value for a sentence, at most ``most`` characters."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**60:
        return "a whole number of more than 60 digits"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = ascii(value[: most + 20]) if isinstance(value, str) else str(value)
    return text if len(text) <= most else text[: most - 3] + "…"


def raw_text(text: str | bytes) -> str:
    """What is kept of a refused item: bounded, and free of what PostgreSQL cannot store."""
    text = text[: MAX_RAW * 4 if isinstance(text, bytes) else MAX_RAW]
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    text = text[:MAX_RAW].replace("\x00", "\ufffd")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def too_many(count: int) -> IngestError:
    """The refusal of a request with more than ``MAX_SAMPLES`` samples."""
    return IngestError(
        413, "too_large", f"{count:,} samples in one request; send at most {MAX_SAMPLES:,}"
    )


@dataclass(slots=True)
class Grouped(Samples):
    """Samples of a format whose items hold several values, such as lines with many fields.

    Every sample and every rejection has its own ``index``; ``group[index]`` is the line, alert or
    data point it belongs to, counted from 0.
    """

    group: list[int] = field(default_factory=list)


def by_item(result: Result) -> list[Rejected]:
    """The rejections with their line's or data point's number as index, in that order."""
    samples = result.samples
    if not isinstance(samples, Grouped):
        return result.rejected
    group = samples.group
    moved = [
        item._replace(index=group[item.index]) if 0 <= item.index < len(group) else item
        for item in result.rejected
    ]
    return sorted(moved, key=lambda item: item.index)


class Rows:
    """Collects samples one by one, for decoders whose messages are small or nested."""

    __slots__ = ("group", "hints", "ids", "index", "rejected", "series", "text", "ts_us", "value")

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.series: list[int] = []
        self.ts_us: list[int] = []
        self.value: list[float] = []
        self.index: list[int] = []
        self.group: list[int] = []
        self.rejected: list[Rejected] = []
        self.hints: dict[str, str] = {}
        self.text: dict[int, str] = {}

    def add(self, key: str, ts_us: int, value: float | str, group: int) -> None:
        """Add one sample of line, alert or data point ``group``; a text becomes NaN with the text
        beside it. A time outside 64 bits is a rejection.
        """
        if not -(2**63) <= ts_us < 2**63:
            self.reject(group, "bad_timestamp", f"series {show(key)}: {ts_us} µs is no time", key)
            return
        if isinstance(value, str):
            self.text[len(self.value)] = raw_text(value)
            value = float("nan")
        self.series.append(self.ids.setdefault(key, len(self.ids)))
        self.ts_us.append(ts_us)
        self.value.append(value)
        self.index.append(len(self.group))
        self.group.append(group)

    def reject(self, group: int, code: str, detail: str, raw: str | bytes = "") -> None:
        """Note an item that is not taken."""
        self.rejected.append(Rejected(len(self.group), code, detail, raw_text(raw)))
        self.group.append(group)

    def samples(self) -> Grouped:
        """The columns, checked by ``checked``."""
        samples = Grouped(
            names=list(self.ids),
            series=np.array(self.series, np.int32),
            ts_us=np.array(self.ts_us, np.int64),
            value=np.array(self.value, np.float64),
            index=np.array(self.index, np.int32),
            rejected=self.rejected,
            hints=self.hints,
            text=self.text,
            group=self.group,
        )
        checked(samples)
        return samples


def checked(samples: Samples) -> None:
    """Turn samples whose series key cannot be kept into rejections; raise 413 for too many.

    Unusable is a key that is empty, longer than ``MAX_KEY``, or holds what PostgreSQL's text
    cannot (NUL, half a surrogate pair). Costs one pass over the distinct names.
    """
    if len(samples) + len(samples.rejected) > MAX_SAMPLES:
        raise too_many(len(samples) + len(samples.rejected))
    names = samples.names
    if not names or (max(map(len, names)) <= MAX_KEY and all(names) and _storable("".join(names))):
        return
    wrong = {at: why for at, name in enumerate(names) if (why := _unusable(name))}
    out = np.isin(samples.series, list(wrong))
    for at in np.flatnonzero(out):
        series = int(samples.series[at])
        samples.rejected.append(
            Rejected(
                int(samples.index[at]),
                "malformed",
                f"series {show(names[series])}: {wrong[series]}",
                raw_text(f"{names[series][:200]} {samples.value[at]!r} {samples.ts_us[at]}"),
            )
        )
    remove(samples, out)


def _storable(text: str) -> bool:
    if "\x00" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _unusable(name: str) -> str:
    if not name:
        return "it has no name; name the point or series"
    if len(name) > MAX_KEY:
        return f"its key has {len(name):,} characters, at most {MAX_KEY:,} are taken"
    return "" if _storable(name) else "its key holds a NUL or half a character; send clean UTF-8"


def remove(samples: Samples, out: Any) -> None:
    """Take the samples out that a mask selects, and the names that no other sample has."""
    keep = np.flatnonzero(~out)
    place = {int(old): new for new, old in enumerate(keep)} if samples.text else {}
    used, series = np.unique(samples.series[keep], return_inverse=True)
    samples.rejected.sort(key=lambda item: item.index)
    samples.names = [samples.names[at] for at in used]
    samples.hints = {k: v for k, v in samples.hints.items() if k in set(samples.names)}
    samples.series = series.astype(np.int32)
    samples.ts_us = samples.ts_us[keep]
    samples.value = samples.value[keep]
    samples.index = samples.index[keep]
    samples.text = {place[at]: text for at, text in samples.text.items() if at in place}


def summary(rejected: Sequence[Rejected], noun: str, most: int = MAX_LISTED) -> str:
    """One line per rejection with its place counted from 1, at most ``most`` of them."""
    lines = [f"{noun} {item.index + 1}: {item.detail}" for item in rejected[:most]]
    if len(rejected) > most:
        lines.append(f"… and {len(rejected) - most:,} more")
    return "\n".join(lines)
