"""An answer as CSV: one line per moment and series, with both courses beside one another."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any


def answer_csv(answer: Mapping[str, Any]) -> str:
    """``time_s, series, unit``, then p10, p50, p90 of every course of events."""
    out = io.StringIO()
    writer = csv.writer(out)
    titles = [option["title"] for option in answer["options"]]
    head = ["time_s", "series", "unit"]
    head += [f"{_safe(title)} {name}" for title in titles for name in ("p10", "p50", "p90")]
    writer.writerow(head)
    for series in answer["series"]:
        for k, moment in enumerate(answer["times_s"]):
            values = [line[name][k] for line in series["options"] for name in ("p10", "p50", "p90")]
            writer.writerow([moment, _safe(series["name"]), series["unit"], *values])
    return out.getvalue()


def _safe(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text
