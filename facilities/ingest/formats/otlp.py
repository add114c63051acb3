"""OTLP/HTTP metrics, protobuf and JSON.

A gauge or sum point is one sample. Histograms are taken as ``_count``, ``_sum``, ``_min`` and
``_max`` (buckets are not), summaries as their quantiles, ``_count`` and ``_sum``. What is a delta
since the last report gets ``_delta`` behind its name, so that it can never be mistaken for a
running total of the same name.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    DataPointFlags,
    ExponentialHistogram,
    Histogram,
    Summary,
)

from facilities.ingest.errors import IngestError
from facilities.ingest.formats.base import (
    MAX_SAMPLES,
    Format,
    Headers,
    Query,
    Rows,
    by_item,
    media_type,
    raw_text,
    retry_headers,
    retryable,
    show,
    summary,
    too_many,
)
from facilities.ingest.formats.compression import decompress
from facilities.ingest.formats.keys import series_key
from facilities.ingest.formats.lean import messages
from facilities.ingest.samples import STALE_BITS, Samples
from facilities.ingest.wire import Response, Result, any_token

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
ENCODINGS: Final = ("gzip", "zstd", "deflate")

UNSTABLE: Final = ("telemetry.", "process.", "os.", "service.version", "service.instance.id")
"""Resource attributes that change with a restart or an update while the series stays the same; by
these prefixes they are left out of the key. All others tell one device from another."""

STALE: Final = float(np.array([STALE_BITS], np.uint64).view(np.float64)[0])
DELTA: Final = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
NO_VALUE: Final = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
MOST_KNOWN: Final = 100_000
"""Series whose key is remembered between requests; assumed, about 50 MB."""

Labels = tuple[tuple[str, str], ...]
Packed = tuple[bytes, ...]
_known: dict[tuple[str, Packed, Packed], str] = {}

# The field numbers of opentelemetry/proto/metrics/v1/metrics.proto. Attributes stay packed: those
# of a known series are never parsed, the others are with the library's own KeyValue.
_Quick: Final[Any] = messages(
    "holdpoint.otlp",
    {
        "Point": [
            "fixed64 time_unix_nano 3",
            "?double as_double 4",
            "?sfixed64 as_int 6",
            "*bytes attributes 7",
            "uint32 flags 8",
        ],
        "Numbers": ["*Point data_points 1", "uint32 aggregation_temporality 2"],
        "Metric": [
            "string name 1",
            "string description 2",
            "string unit 3",
            "?Numbers gauge 5",
            "?Numbers sum 7",
            "?bytes histogram 9",
            "?bytes exponential_histogram 10",
            "?bytes summary 11",
        ],
        "Scope": ["*Metric metrics 2"],
        "Resource": ["*bytes attributes 1"],
        "ResourceMetrics": ["Resource resource 1", "*Scope scope_metrics 2"],
        "Request": ["*ResourceMetrics resource_metrics 1"],
    },
)["Request"]
_NESTED: Final[dict[str, Any]] = {
    "histogram": Histogram,
    "exponential_histogram": ExponentialHistogram,
    "summary": Summary,
}


def decode(
    body: bytes, content_type: str, headers: Headers, query: Query, now_us: int, limit: int
) -> Samples:
    """Read an export request. 3 µs a point (JSON: 100 µs).

    Raises ``IngestError``: 415 for another type or encoding, 400 for a broken message, 413.
    """
    kind = media_type(content_type)
    if kind not in (PROTOBUF, JSON):
        raise IngestError(
            415,
            "unsupported_media_type",
            f"Content-Type {show(content_type)}: send {PROTOBUF} or {JSON}",
        )
    data = decompress(body, headers, limit=limit, allowed=ENCODINGS)
    if kind == JSON:
        data = _from_json(data)
    try:
        request = _Quick.FromString(data)
        reader = _Reader(now_us)
        for resource in request.resource_metrics:
            reader.about = tuple(resource.resource.attributes)
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    reader.read(metric)
    except DecodeError as error:
        raise IngestError(
            400, "malformed", f"the body is not ExportMetricsServiceRequest: {error}"
        ) from error
    return reader.rows.samples()


def _from_json(data: bytes) -> bytes:
    if data.lstrip()[:1] != b"{":  # json_format takes an empty list for an empty message
        raise IngestError(400, "malformed", "the body is not OTLP JSON: it is no object")
    try:
        message = json_format.Parse(
            data, ExportMetricsServiceRequest(), ignore_unknown_fields=True, max_recursion_depth=50
        )
    except Exception as error:  # json_format lets TypeError, AttributeError and others through
        raise IngestError(
            400, "malformed", f"the body is not OTLP JSON: {str(error)[:300]}"
        ) from error
    packed: bytes = message.SerializeToString()
    return packed


class _Reader:
    def __init__(self, now_us: int) -> None:
        self.rows = Rows()
        self.now_us = now_us
        self.about: Packed = ()
        self.point = 0

    def read(self, metric: Any) -> None:
        """Add every data point of a metric. Raises ``DecodeError``."""
        shape = metric.WhichOneof("value")
        if shape is None:
            return
        found = getattr(metric, shape)
        nested = _NESTED.get(shape)
        if nested is not None:
            found = nested.FromString(found)
        name = metric.name
        if shape != "summary" and found.aggregation_temporality == DELTA:
            name += "_delta"
        hint = metric.unit or metric.description
        for one in found.data_points:
            if not metric.name:
                self.rows.reject(self.point, "malformed", "a metric has no name", str(one))
            elif nested is None:
                self._number(name, hint, one)
            else:
                self._shape(name, hint, one, summary=shape == "summary")
            self.point += 1
            if len(self.rows.group) > MAX_SAMPLES:
                raise too_many(len(self.rows.group))

    def _number(self, name: str, hint: str, one: Any) -> None:
        field = one.WhichOneof("value")
        if one.flags & NO_VALUE:
            value = STALE
        elif field is None:
            detail = f"metric {show(name)}: a data point has no value"
            self.rows.reject(self.point, "bad_value", detail, name)
            return
        else:
            value = one.as_double if field == "as_double" else float(one.as_int)
        known = (name, self.about, tuple(one.attributes))
        key = _known.get(known) or _learn(known)
        self._add(key, hint, one.time_unix_nano, value)

    def _shape(self, name: str, hint: str, one: Any, *, summary: bool) -> None:
        labels = _labels(one.attributes)
        about = _labels(_unpacked(self.about), resource=True)
        stale = bool(one.flags & NO_VALUE)
        parts: list[tuple[str, Labels, float]] = []
        if summary:
            parts = [
                (name, (("quantile", f"{q.quantile:g}"),), q.value) for q in one.quantile_values
            ]
        parts += _totals(name, one, () if summary else ("min", "max"))
        for full, more, value in parts:
            key = series_key(full, (dict(about) | dict(labels) | dict(more)).items())
            self._add(key, hint, one.time_unix_nano, STALE if stale else value)

    def _add(self, key: str, hint: str, stamp_ns: int, value: float) -> None:
        self.rows.add(key, stamp_ns // 1_000 or self.now_us, value, self.point)
        if hint and key not in self.rows.hints:
            self.rows.hints[key] = raw_text(hint)


def _totals(name: str, one: Any, optional: tuple[str, ...]) -> list[tuple[str, Labels, float]]:
    found = [("count", float(one.count))]
    if not optional or one.HasField("sum"):
        found.append(("sum", one.sum))
    found += [(field, getattr(one, field)) for field in optional if one.HasField(field)]
    return [(f"{name}_{field}", (), value) for field, value in found]


def _learn(known: tuple[str, Packed, Packed]) -> str:
    """The key of a series seen for the first time. Raises ``DecodeError``."""
    name, about, own = known
    labels = dict(_labels(_unpacked(about), resource=True))
    labels |= dict(_labels(_unpacked(own)))  # the point's own word counts where both speak
    key = series_key(name, labels.items())
    if len(name) + sum(map(len, about)) + sum(map(len, own)) <= 1_000:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[known] = key
    return key


def _unpacked(packed: Packed) -> list[Any]:
    return [KeyValue.FromString(item) for item in packed]


def _labels(attributes: Iterable[Any], *, resource: bool = False) -> Labels:
    return tuple(
        [
            (item.key, _text(item.value))
            for item in attributes
            if not (resource and item.key.startswith(UNSTABLE))
        ]
    )


def _text(value: Any) -> str:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        text: str = value.string_value
        return text
    if kind is None:
        return ""
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    return _nested(value)


def _nested(value: Any) -> str:
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: _plain(item.value) for item in value.kvlist_value.values}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return None if kind is None else getattr(value, kind)


def _answer(result: Result, headers: Headers, query: Query) -> Response:
    answer = ExportMetricsServiceResponse()
    if result.rejected:
        rejected = by_item(result)
        answer.partial_success.rejected_data_points = len({item.index for item in rejected})
        answer.partial_success.error_message = summary(rejected, "data point", 20)
    return _response(200, answer, headers, {})


CODES: Final = {400: 3, 401: 16, 403: 7, 413: 8, 415: 3, 429: 8, 500: 13, 503: 14}
"""google.rpc.Code for an HTTP status; 2 (UNKNOWN) for others."""


def _refuse(error: IngestError, headers: Headers) -> Response:
    error = retryable(error, 408)  # OTLP sends again at 429, 502, 503 and 504 only
    status = Status(code=CODES.get(error.status, 2), message=error.detail)
    return _response(error.status, status, headers, retry_headers(error))


def _response(status: int, message: Any, headers: Headers, more: dict[str, str]) -> Response:
    if media_type(headers.get("content-type", "")) == JSON:
        body = json_format.MessageToJson(message, indent=None).encode("utf-8", "replace")
        return Response(status, body, JSON, more)
    return Response(status, message.SerializeToString(), PROTOBUF, more)


OTLP: Final = Format(
    name="otlp",
    paths=("/v1/metrics",),
    token=any_token,
    decode=decode,
    answer=_answer,
    refuse=_refuse,
)
