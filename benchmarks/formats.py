"""How fast one core decodes each wire format: ``python benchmarks/formats.py [--json] [--rounds N]``.

Rounds of all formats are interleaved, so that a busy moment of the machine hits all alike; shown
are the median and the best round. Bodies are what agents send: 1,000 samples (remote write 2,000),
series known from an earlier request.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ops_platform.settings")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cramjam

from facilities.ingest.formats import FORMATS
from facilities.ingest.formats.remote_write_pb import Label, Request, WriteRequest

NOW_US = 1_772_366_400_000_000
BY_NAME = {wire.name: wire for wire in FORMATS}


def remote_write(version: int, series: int) -> bytes:
    """A write request with one sample for each series, six labels each."""
    request: Any = WriteRequest() if version == 1 else Request(symbols=[""])
    symbols: dict[str, int] = {"": 0}

    def ref(text: str) -> int:
        if text not in symbols:
            symbols[text] = len(symbols)
            request.symbols.append(text)
        return symbols[text]

    for number in range(series):
        labels = {
            "__name__": "DCGM_FI_DEV_GPU_TEMP",
            "UUID": f"GPU-{number:08d}-6279-6f2c-d729-868a30f14d96",
            "Hostname": f"srv-{number // 8:03d}",
            "gpu": str(number % 8),
            "instance": "10.20.1.11:9400",
            "job": "dcgm",
        }
        one = request.timeseries.add()
        for name, value in labels.items():
            if version == 1:
                one.labels.append(Label(name=name, value=value).SerializeToString())
            else:
                one.labels_refs.extend([ref(name), ref(value)])
        one.samples.add(value=40.0 + number % 30, timestamp=NOW_US // 1000)
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


def otlp(points: int) -> tuple[bytes, bytes]:
    """An export request of gauges with two attributes each, in protobuf and in JSON."""
    from google.protobuf import json_format
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2

    data = {
        "resourceMetrics": [
            {
                "resource": {"attributes": [_attribute("service.name", "bms")]},
                "scopeMetrics": [
                    {
                        "metrics": [
                            {
                                "name": "gpu.temp",
                                "unit": "Cel",
                                "gauge": {"dataPoints": _points(points)},
                            }
                        ]
                    }
                ],
            }
        ]
    }
    message = json_format.ParseDict(data, metrics_service_pb2.ExportMetricsServiceRequest())
    return message.SerializeToString(), json.dumps(data).encode()


def _points(count: int) -> list[dict[str, Any]]:
    return [
        {
            "timeUnixNano": str(NOW_US * 1000),
            "asDouble": 40.0 + number % 30,
            "attributes": [
                _attribute("host", f"srv-{number // 8}"),
                _attribute("gpu", str(number % 8)),
            ],
        }
        for number in range(count)
    ]


def _attribute(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}


def cases() -> dict[str, tuple[str, bytes, str, int]]:
    """Format, body, content type and samples by label."""
    protobuf, as_json = otlp(1000)
    readings = [
        {"point": f"rack-{n:04d}.inlet_c", "ts": "2026-03-01T12:00:00Z", "value": 20 + n / 100}
        for n in range(1000)
    ]
    one = "".join(
        f"air,asset=rack-{n:04d},hall=hall-1 inlet_c={20 + n / 100} {NOW_US * 1000 + n}\n"
        for n in range(1000)
    )
    five = "".join(
        f"air,asset=rack-{n:04d} inlet_c={20 + n},outlet_c=35.5,w=4310i,up=t,rh=41.5 {NOW_US * 1000}\n"
        for n in range(200)
    )
    v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
    return {
        "native JSON": (
            "native",
            json.dumps({"readings": readings}).encode(),
            "application/json",
            1000,
        ),
        "native NDJSON": (
            "native",
            "\n".join(map(json.dumps, readings)).encode(),
            "application/x-ndjson",
            1000,
        ),
        "line protocol, 1 field": ("influx", one.encode(), "text/plain", 1000),
        "line protocol, 5 fields": ("influx", five.encode(), "text/plain", 1000),
        "line protocol, with texts": (
            "influx",
            five.replace(",up=t", ',up="OL"').encode(),
            "text/plain",
            1000,
        ),
        "remote write 1.0": ("prometheus", remote_write(1, 2000), "application/x-protobuf", 2000),
        "remote write 2.0": ("prometheus", remote_write(2, 2000), v2, 2000),
        "OTLP protobuf": ("otlp", protobuf, "application/x-protobuf", 1000),
        "OTLP JSON": ("otlp", as_json, "application/json", 1000),
    }


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Samples per second of every case: median, best and bytes a sample."""
    found: dict[str, list[float]] = {}
    ready: dict[str, tuple[Callable[[], Any], int, int]] = {}
    for label, (name, body, kind, count) in cases().items():

        def decode(name: str = name, body: bytes = body, kind: str = kind) -> Any:
            headers = {"content-type": kind}
            return BY_NAME[name].decode(body, kind, headers, {}, NOW_US, 64_000_000)

        assert len(decode()) == count, label
        ready[label] = (decode, count, len(body))
    for _ in range(rounds):
        for label, (run, count, _size) in ready.items():
            began = time.perf_counter()
            run()
            found.setdefault(label, []).append(count / (time.perf_counter() - began))
    return {
        label: {
            "median_per_s": statistics.median(rates),
            "best_per_s": max(rates),
            "bytes_per_sample": ready[label][2] / ready[label][1],
        }
        for label, rates in found.items()
    }


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.rounds)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print("| format | samples/s, median | best | bytes a sample |\n|---|---|---|---|")
    for label, one in found.items():
        print(
            f"| {label} | {one['median_per_s']:,.0f} | {one['best_per_s']:,.0f} "
            f"| {one['bytes_per_sample']:.0f} |"
        )


if __name__ == "__main__":
    main()
