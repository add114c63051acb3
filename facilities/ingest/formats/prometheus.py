"""Prometheus remote write 1.0 and 2.0: snappy's block format around protobuf.

Taken are samples; a native histogram is taken as its ``_count`` and ``_sum`` (its buckets are
not), exemplars are not taken. A 2.0 answer says so in its ``…-Written`` headers. Every good sample
is stored; 400 reports the others, and Prometheus does not send a batch again after 400.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError

from facilities.ingest.errors import IngestError
from facilities.ingest.formats.base import (
    MAX_SAMPLES,
    Format,
    Headers,
    Query,
    checked,
    media_type,
    raw_text,
    remove,
    retry_headers,
    retryable,
    show,
    too_many,
)
from facilities.ingest.formats.compression import decompress
from facilities.ingest.formats.keys import series_key, split_key
from facilities.ingest.formats.remote_write_pb import (
    Label,
    QuickRequest,
    QuickWriteRequest,
    Request,
    WriteRequest,
)
from facilities.ingest.samples import STALE_BITS, Rejected, Samples
from facilities.ingest.wire import Response, Result, any_token

V1: Final = "prometheus.WriteRequest"
V2: Final = "io.prometheus.write.v2.Request"
MOST_MS: Final = (2**63 - 1) // 1_000
MOST_KNOWN: Final = 100_000
"""Series whose key is remembered between requests; assumed, about 50 MB."""

NAME: Final = "__name__"
STALE: Final = float(np.array([STALE_BITS], np.uint64).view(np.float64)[0])

_known: dict[Any, str] = {}


@dataclass(slots=True)
class WrittenSamples(Samples):
    """Samples of a write request. ``index`` counts samples first, then native histograms (whose
    count and sum share one); ``plain`` is the number of the former. ``exemplars`` are not taken.
    """

    plain: int = 0
    histograms: int = 0
    exemplars: int = 0


class _BadSeries(Exception):
    pass


def decode(
    body: bytes, content_type: str, headers: Headers, query: Query, now_us: int, limit: int
) -> Samples:
    """Read a write request. 3 µs a series with one sample, 4 µs in 2.0.

    Raises ``IngestError``: 415 for another message or encoding, 400 for a broken one, 413.
    """
    version = _version(content_type)
    sent = dict(headers)
    # Prometheus' own receiver takes a missing Content-Encoding for snappy; so does this one.
    sent["content-encoding"] = headers.get("content-encoding", "").strip() or "snappy"
    if sent["content-encoding"].lower() != "snappy":
        raise IngestError(
            415,
            "unsupported_encoding",
            f"Content-Encoding {show(sent['content-encoding'])}: remote write is snappy",
        )
    data = decompress(body, sent, limit=limit, allowed=("snappy",))
    quick, full = (QuickWriteRequest, WriteRequest) if version == V1 else (QuickRequest, Request)
    try:
        request = quick.FromString(data)
        series = list(request.timeseries)
        if any(one.last_histogram or one.last_exemplar for one in series):
            request = full.FromString(data)
            series = list(request.timeseries)
    except DecodeError as error:
        raise IngestError(400, "malformed", f"the body is not {version}: {error}") from error
    columns = _Columns(_Labels(request, version))
    columns.read(series, full=isinstance(request, full))
    return columns.samples()


def _version(content_type: str) -> str:
    proto = V1
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "proto":
            proto = value.strip().strip('"')
    if media_type(content_type) != "application/x-protobuf" or proto not in (V1, V2):
        raise IngestError(
            415,
            "unsupported_media_type",
            f"Content-Type {show(content_type)}: send application/x-protobuf (remote write 1.0) "
            f"or application/x-protobuf;proto={V2}",
        )
    return proto


class _Labels:
    """Finds the key of a series; known ones without parsing their labels."""

    def __init__(self, request: Any, version: str) -> None:
        self.hints: dict[str, str] = {}
        self.symbols: list[str] = []
        self.of = self._v1
        if version == V2:
            self.of = self._v2
            self.symbols = list(request.symbols)
            if self.symbols[:1] != [""] and (self.symbols or len(request.timeseries)):
                raise IngestError(
                    400, "malformed", "the first entry of the symbol table must be empty"
                )

    def _v1(self, series: Any) -> str:
        packed = tuple(series.labels)
        key = _known.get(packed)
        if key is None:
            try:
                labels = [Label.FromString(label) for label in packed]
            except DecodeError as error:
                raise _BadSeries(f"a label cannot be read: {error}") from None
            key = _key([(label.name, label.value) for label in labels])
            _remember(packed, key, sum(map(len, packed)))
        return key

    def _v2(self, series: Any) -> str:
        refs = list(series.labels_refs)
        if len(refs) % 2:
            raise _BadSeries(f"it has {len(refs)} label references; names and values come in pairs")
        try:
            texts = tuple([self.symbols[ref] for ref in refs])
            hint = series.metadata.unit_ref or series.metadata.help_ref
            said = self.symbols[hint]
        except IndexError:
            raise _BadSeries(
                f"it refers beyond the {len(self.symbols)} entries of the symbol table"
            ) from None
        key = _known.get(texts)
        if key is None:
            key = _key(list(zip(texts[::2], texts[1::2], strict=True)))
            _remember(texts, key, sum(map(len, texts)))
        if said:
            self.hints[key] = raw_text(said)
        return key


def _key(labels: list[tuple[str, str]]) -> str:
    names = [name for name, _ in labels]
    if NAME not in names:
        raise _BadSeries(f"it has no {NAME} label")
    if len(set(names)) < len(names) or "" in names:
        raise _BadSeries("a label's name is empty or appears twice")
    metric = dict(labels)[NAME]
    if not metric:
        raise _BadSeries(f"its {NAME} is empty")
    return series_key(metric, [pair for pair in labels if pair[0] != NAME])


def _remember(labels: Any, key: str, size: int) -> None:
    if size > 1_000:
        return
    if len(_known) >= MOST_KNOWN:
        _known.clear()
    _known[labels] = key


class _Columns:
    def __init__(self, labels: _Labels) -> None:
        self.ids: dict[str, int] = {}
        self.series: list[int] = []
        self.stamps: list[int] = []
        self.values: list[float] = []
        self.index: list[int] = []
        self.rejected: list[Rejected] = []
        self.labels = labels
        self.plain = self.histograms = self.exemplars = 0

    def read(self, timeseries: list[Any], *, full: bool) -> None:
        """Add every series; ``full`` ones may have histograms and exemplars."""
        histograms: list[tuple[str, Any]] = []
        ids, key_of = self.ids, self.labels.of
        for one in timeseries:
            try:
                key = key_of(one)
            except _BadSeries as bad:
                more = len(one.histograms) if full else 0
                self._reject(len(one.samples) + more, f"a series: {bad}", str(one))
                continue
            place = ids.setdefault(key, len(ids))
            for sample in one.samples:
                self.series.append(place)
                self.stamps.append(sample.timestamp)
                self.values.append(sample.value)
                self.index.append(self.plain)
                self.plain += 1
            if full:
                self.exemplars += len(one.exemplars)
                histograms += [(key, histogram) for histogram in one.histograms]
            if self.plain + 2 * len(histograms) > MAX_SAMPLES:
                raise too_many(self.plain + 2 * len(histograms))
        for key, histogram in histograms:
            self._histogram(key, histogram)

    def _histogram(self, key: str, histogram: Any) -> None:
        index = self.plain + self.histograms
        self.histograms += 1
        name, labels = split_key(key)
        stale = np.float64(histogram.sum).view(np.uint64) == STALE_BITS
        count = STALE if stale else float(histogram.count_int or histogram.count_float)
        for suffix, value in (("_count", count), ("_sum", histogram.sum)):
            part = series_key(name + suffix, labels.items())
            place = self.ids.setdefault(part, len(self.ids))
            self.series.append(place)
            self.stamps.append(histogram.timestamp)
            self.values.append(value)
            self.index.append(index)

    def _reject(self, samples: int, detail: str, raw: str) -> None:
        # A series that cannot be named takes its samples with it, one rejection each.
        for _ in range(samples):
            self.rejected.append(Rejected(self.plain, "malformed", detail, raw_text(raw)))
            self.plain += 1

    def samples(self) -> WrittenSamples:
        stamps = np.array(self.stamps, np.int64)
        samples = WrittenSamples(
            names=list(self.ids),
            series=np.array(self.series, np.int32),
            ts_us=stamps * 1_000,
            value=np.array(self.values, np.float64),
            index=np.array(self.index, np.int32),
            rejected=self.rejected,
            hints=self.labels.hints,
            plain=self.plain,
            histograms=self.histograms,
            exemplars=self.exemplars,
        )
        odd = (stamps > MOST_MS) | (stamps < -MOST_MS)
        if odd.any():
            for at in np.flatnonzero(odd):
                samples.rejected.append(
                    Rejected(
                        int(samples.index[at]),
                        "bad_timestamp",
                        f"{stamps[at]} ms is outside the calendar; check the sender's clock",
                        raw_text(f"{samples.names[samples.series[at]]} {stamps[at]}"),
                    )
                )
            remove(samples, odd)
        checked(samples)
        return samples


def _answer(result: Result, headers: Headers, query: Query) -> Response:
    written: dict[str, str] = {}
    samples = result.samples
    if isinstance(samples, WrittenSamples) and _version(headers.get("content-type", "")) == V2:
        lost = {item.index for item in result.rejected}
        plain = sum(index < samples.plain for index in lost)
        counts = {
            "Samples": samples.plain - plain,
            "Histograms": samples.histograms - (len(lost) - plain),
            "Exemplars": 0,
        }
        written = {f"X-Prometheus-Remote-Write-{k}-Written": str(v) for k, v in counts.items()}
    if not result.rejected:
        return Response(204, headers=written)
    # Prometheus logs the first line of the body, and of that the first 256 characters.
    first = result.rejected[0].detail
    text = f"{len(result.rejected):,} of {result.received:,} samples not taken, the others are stored: {first}"
    return Response(400, text.encode(), "text/plain; charset=utf-8", written)


def _refuse(error: IngestError, headers: Headers) -> Response:
    # Prometheus drops a batch at 429 unless retry_on_http_429 is set; 503 is always sent again.
    error = retryable(error, 408, 429)
    return Response(
        error.status, error.detail.encode(), "text/plain; charset=utf-8", retry_headers(error)
    )


PROMETHEUS: Final = Format(
    name="prometheus",
    paths=("/api/v1/prometheus/write",),
    token=any_token,
    decode=decode,
    answer=_answer,
    refuse=_refuse,
)
