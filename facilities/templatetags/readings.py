"""How a reading is written on a page: unit as people know it, digits by precision, state names."""

from __future__ import annotations

import json
import math
from typing import Any

from django import template

from facilities.models import LatestReading, Point, PointQuality, Quality

register = template.Library()

UNITS = {"Cel": "°C", "1": "", "Ohm": "Ω", "m3/s": "m³/s"}
FAIR_SHARE = 0.98
POOR_SHARE = 0.9
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


@register.filter
def flag_tone(flag: int) -> str:
    """Badge tone of a QARTOD flag; good is grey, an unjudged value too."""
    return QUALITY_TONES.get(Quality(flag), "neutral")


@register.filter
def flag_name(flag: int) -> str:
    """Name of a QARTOD flag: good, unknown, suspect, fail, missing."""
    return Quality(flag).label


@register.filter
def percent(share: float | None) -> str:
    """A share as a percentage with the digits it deserves; an en dash for none."""
    if share is None:
        return "–"
    shown = share * 100
    return f"{shown:,.0f} %" if shown >= 99.95 or shown == 0 else f"{shown:.1f} %"


@register.filter
def share_tone(share: float | None) -> str:
    """Tone of a score: colour only below 98 %, stronger below 90 % (assumed)."""
    if share is None or share >= FAIR_SHARE:
        return "neutral"
    return "medium" if share >= POOR_SHARE else "high"


@register.filter
def seconds(value: float | None) -> str:
    """A duration as people read it: 3 µs, 12 ms, 2.4 s, 10 min, 3 h."""
    if value is None:
        return "–"
    for limit, factor, name in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (120.0, 1.0, "s")):
        if abs(value) < limit:
            return f"{value * factor:.3g} {name}"
    return f"{value / 60:.3g} min" if abs(value) < 7200 else f"{value / 3600:.3g} h"


@register.filter
def why(found: PointQuality) -> str:
    """The sentence of the test that decided a verdict; nothing when the point is good."""
    # What the stream said repeats what a test found: its sentence is the last resort.
    for _, test in sorted(found.tests.items(), key=lambda item: item[0] == "stream"):
        if test["flag"] == found.flag and found.flag not in (Quality.GOOD, Quality.UNKNOWN):
            return str(test["detail"])
    return ""
