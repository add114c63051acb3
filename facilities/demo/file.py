"""The demo facility's file, and what `n: [first, last]` in a facility file stands for.

For readers without a database that take a file which ``load_facility`` takes; the plant and the
twin's offline tools share it and nothing else. No Django.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

DEMO_FILE = Path(__file__).resolve().parent / "facility.yaml"


def repeated(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """One copy of the entry for each number of its ``n``, with {n} and {n:02} filled in."""
    if "n" not in entry:
        return [entry]
    first, last = entry["n"]
    template = {key: value for key, value in entry.items() if key != "n"}
    return [_filled(template, number) for number in range(first, last + 1)]


def _filled(value: Any, number: int) -> Any:
    """Fill {n} in every string of a value, attributes included."""
    if isinstance(value, str):
        return value.format(n=number)
    if isinstance(value, dict):
        return {key: _filled(item, number) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, number) for item in value]
    return value
