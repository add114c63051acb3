"""The messages of Prometheus remote write 1.0 and 2.0, as far as they are read here.

Field numbers and types are those of ``prompb/remote.proto``, ``prompb/types.proto`` (1.0) and
``prompb/io/prometheus/write/v2/types.proto`` (2.0) of prometheus/prometheus; fields that are not
listed (buckets, exemplars' content) are skipped by the parser.

Two readings differ from the originals in type, not in bytes, and save most of the time: labels as
``repeated bytes``, so that known series are looked up without parsing; and in the ``Quick``
messages a last histogram and exemplar as plain ``bytes``, so that asking whether there is one
costs nothing. Where there is one, the full message is read.
"""

from __future__ import annotations

from typing import Any, Final

from facilities.ingest.formats.lean import messages

_V1: Final = messages(
    "holdpoint.remote_write_1",
    {
        "Sample": [
            "double value 1",
            "int64 timestamp 2",
        ],
        "Label": [
            "string name 1",
            "string value 2",
        ],
        "Histogram": [
            "uint64 count_int 1",
            "double count_float 2",
            "double sum 3",
            "int64 timestamp 15",
        ],
        "TimeSeries": [
            "*bytes labels 1",
            "*Sample samples 2",
            "*bytes exemplars 3",
            "*Histogram histograms 4",
        ],
        "QuickSeries": [
            "*bytes labels 1",
            "*Sample samples 2",
            "bytes last_exemplar 3",
            "bytes last_histogram 4",
        ],
        "Metadata": [
            "uint32 type 1",
            "string metric_family_name 2",
            "string help 4",
            "string unit 5",
        ],
        "WriteRequest": [
            "*TimeSeries timeseries 1",
            "*Metadata metadata 3",
        ],
        "QuickRequest": ["*QuickSeries timeseries 1"],
    },
)
_V2: Final = messages(
    "holdpoint.remote_write_2",
    {
        "Sample": [
            "double value 1",
            "int64 timestamp 2",
            "int64 start_timestamp 3",
        ],
        "Histogram": [
            "uint64 count_int 1",
            "double count_float 2",
            "double sum 3",
            "int64 timestamp 15",
        ],
        "Metadata": [
            "uint32 type 1",
            "uint32 help_ref 3",
            "uint32 unit_ref 4",
        ],
        "TimeSeries": [
            "*uint32 labels_refs 1",
            "*Sample samples 2",
            "*Histogram histograms 3",
            "*bytes exemplars 4",
            "Metadata metadata 5",
        ],
        "QuickSeries": [
            "*uint32 labels_refs 1",
            "*Sample samples 2",
            "bytes last_histogram 3",
            "bytes last_exemplar 4",
            "Metadata metadata 5",
        ],
        "Request": [
            "*string symbols 4",
            "*TimeSeries timeseries 5",
        ],
        "QuickRequest": [
            "*string symbols 4",
            "*QuickSeries timeseries 5",
        ],
    },
)

WriteRequest: Any = _V1["WriteRequest"]
QuickWriteRequest: Any = _V1["QuickRequest"]
Label: Any = _V1["Label"]
Request: Any = _V2["Request"]
QuickRequest: Any = _V2["QuickRequest"]
