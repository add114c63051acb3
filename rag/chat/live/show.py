"""How tools show numbers, times and quality, and the form of their results."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rag.chat.quantities import described

if TYPE_CHECKING:
    from facilities.selectors import Inventory, PointValue

MAX_ROWS = 20
MAX_FACTS = 12
STALE_AFTER_S = 60

# UCUM codes as people write them.
UNITS = {
    "Cel": "°C", "1": "", "m3/s": "m³/s", "L/s": "L/s", "[ppm]": "ppm", "mOhm": "mΩ", "K": "K",
    "1/s": "per second", "[degF]": "°F",
}  # fmt: skip
# QARTOD flags, as facilities stores them.
QUALITY = {1: "good", 2: "not evaluated", 3: "suspect", 4: "failed", 9: "missing"}
TONES = {3: "warn", 4: "bad", 9: "bad"}

Cell = str | dict[str, Any]


def unit_of(ucum: str) -> str:
    """A UCUM code as people write it."""
    return UNITS.get(ucum, ucum)


def number(value: float, ucum: str = "", states: dict[str, str] | None = None) -> str:
    """A value with its unit; states by their names: `running`, `27.4 °C`, `13.2 kW`."""
    if states and value == int(value) and (name := states.get(str(int(value)))):
        return f"{name} ({value:g})"
    if ucum == "W" and abs(value) >= 10_000:
        return f"{value / 1000:.1f} kW"
    unit = unit_of(ucum)
    if not unit and value in (0.0, 1.0):
        return "yes (1)" if value else "no (0)"
    return f"{value:.4g} {unit}".strip()


def clock(at: datetime, *, now: datetime | None = None) -> str:
    """`14:03:07 UTC`; with its day where that is not the day of `now`."""
    moment = at.astimezone(UTC)
    day = "" if now is not None and moment.date() == now.astimezone(UTC).date() else "%Y-%m-%d "
    return f"{moment:{day}%H:%M:%S} UTC"


def age(seconds: float) -> str:
    """The largest sensible unit: `3 min`."""
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {name}"
    return f"{max(0, int(seconds))} s"


def point_url(tag: str) -> str:
    """Page of a point."""
    return f"/points/{quote(tag, safe='')}/"


def asset_url(tag: str) -> str:
    """Page of an asset."""
    return f"/assets/{quote(tag, safe='')}/"


def link(text: str, url: str, tone: str = "") -> Cell:
    """A table's cell that leads somewhere."""
    return {"text": text, "url": url} | ({"tone": tone} if tone else {})


def quality_cell(quality: int, age_s: float) -> Cell:
    """A value's quality flag, and how old it is where that matters."""
    stale = age_s > STALE_AFTER_S
    text = QUALITY.get(quality, str(quality)) + (f", {age(age_s)} old" if stale else "")
    tone = TONES.get(quality) or ("warn" if stale else "")
    return {"text": text, "tone": tone} if tone else text


def states_of(value: "PointValue", inventory: "Inventory") -> dict[str, str]:
    """Names of a point's values."""
    asset = inventory.assets.get(value.asset)
    known = inventory.quantities.get(asset.kind, {}).get(value.quantity) if asset else None
    return known.states if known else {}


def value_row(value: "PointValue", inventory: "Inventory", now: datetime) -> list[Cell]:
    """A reading as a table's row: what, value, time, quality."""
    age_s = (now - value.ts).total_seconds()
    asset = inventory.assets.get(value.asset)
    name = asset.name if asset else value.asset
    return [
        link(name, asset_url(value.asset)),
        link(described(value.quantity), point_url(value.tag)),
        number(value.value, value.unit, states_of(value, inventory)),
        clock(value.ts, now=now),
        quality_cell(value.quality, age_s),
    ]


VALUE_COLUMNS = ["Asset", "Quantity", "Value", "Measured", "Quality"]


def value_fact(value: "PointValue", now: datetime, states: dict[str, str] | None = None) -> str:
    """A reading as a sentence that stands alone."""
    age_s = (now - value.ts).total_seconds()
    stale = f", {age(age_s)} old" if age_s > STALE_AFTER_S else ""
    quality = QUALITY.get(value.quality, str(value.quality))
    return (
        f"{value.asset} {described(value.quantity)} is {number(value.value, value.unit, states)} "
        f"({value.tag} at {clock(value.ts, now=now)}{stale}, quality {quality})."
    )


def worst(values: Iterable["PointValue"], now: datetime) -> str:
    """The worst quality of some readings in one word: good, stale, suspect, failed, missing."""
    flags, stale = [1], False
    for value in values:
        flags.append(value.quality if value.quality != 2 else 1)
        stale = stale or (now - value.ts).total_seconds() > STALE_AFTER_S
    flag = max(flags)
    return QUALITY[flag] if flag > 1 else ("stale" if stale else "good")


def table(
    columns: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str = ""
) -> dict[str, Any]:
    """A table of at most `MAX_ROWS` rows; the caption says how many were left out."""
    more = len(rows) - MAX_ROWS
    if more > 0:
        caption = f"{caption} ({more} more not shown)".strip()
    return {
        "columns": list(columns),
        "rows": [list(row) for row in rows[:MAX_ROWS]],
        "caption": caption,
    }


def result(
    *,
    text: str,
    title: str,
    url: str | None = None,
    at: datetime,
    table: dict[str, Any] | None = None,
    chart: dict[str, Any] | None = None,
    quality: str = "",
    facts: Sequence[str] = (),
    assets: Sequence[str] = (),
    notes: Sequence[str] = (),
    is_prediction: bool = False,
) -> dict[str, Any]:
    """A tool's result; see docs/chat.md."""
    found: dict[str, Any] = {
        "text": text, "title": title, "url": url, "at": at.isoformat(), "quality": quality,
        "facts": list(facts)[:MAX_FACTS], "assets": list(assets), "notes": list(notes),
    }  # fmt: skip
    if table and table["rows"]:
        found["table"] = table
    if chart and chart["series"]:
        found["chart"] = chart
    if is_prediction:
        found["is_prediction"] = True
    return found


def did_you_mean(asked: Any) -> str:
    """What of the question's names is not known or could be several; '' where all is clear."""
    said = [
        f"There is no “{item.said}” in the inventory"
        + (f"; did you mean {', '.join(item.near)}?" if item.near else ".")
        for item in asked.mentions.unknown
    ] + [
        f"“{item.said}” could be {', '.join(item.tags)}; say which."
        for item in asked.mentions.ambiguous
    ]
    return " ".join(said[:3])
