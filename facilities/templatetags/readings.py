"""How a reading is written on a page: unit as people know it, digits by precision, state names."""

from __future__ import annotations

import json
import math
from typing import Any

from django import template

from facilities.models import LatestReading, Point, Quality

register = template.Library()

UNITS = {"Cel": "°C", "1": "", "Ohm": "Ω", "m3/s": "m³/s"}
QUALITY_TONES = {
    Quality.GOOD: "neutral",
    Quality.UNKNOWN: "neutral",
    Quality.SUSPECT: "medium",
    Quality.FAIL: "high",
    Quality.MISSING: "high",
}


@register.filter
def unit(code: str) -> str:
    """UCUM code as people read it: ``Cel`` is °C, ``1`` is nothing."""
    return UNITS.get(code, code)


@register.filter
def plain(value: float | None) -> str:
    """Shortest form of a number: 0.1, 60000, 2; an en dash for none."""
    return "–" if value is None else f"{value:,.6f}".rstrip("0").rstrip(".")


@register.filter
def digits(point: Point) -> int:
    """Decimals that the point's precision supports; one when it is not declared."""
    if not point.precision:
        return 1
    return min(max(math.ceil(-math.log10(point.precision) - 1e-9), 0), 6)


@register.filter
def shown(value: float | None, point: Point) -> str:
    """Write a value with its digits, or with its name when the point has states."""
    if value is None:
        return "–"
    name = (point.enum or {}).get(f"{value:g}")
    return str(name) if name else f"{value:,.{digits(point)}f}"


@register.filter
def quality_tone(latest: LatestReading) -> str:
    """Badge tone of a quality flag; grey is normal."""
    return QUALITY_TONES.get(Quality(latest.quality), "neutral")


@register.filter
def latest_of(point: Point) -> LatestReading | None:
    """Latest reading of a point, or None."""
    return getattr(point, "latest", None)


@register.filter
def as_json(value: Any) -> str:
    """JSON for a data attribute; the template escapes it."""
    return json.dumps(value, ensure_ascii=False)
