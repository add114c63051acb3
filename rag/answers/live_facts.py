"""Live readings as a source: what the points named in a question report right now."""

import datetime as dt
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.core.exceptions import ObjectDoesNotExist
from django.utils import timezone

from rag.answers.grounding import content_words
from rag.codes import tag_candidates

if TYPE_CHECKING:
    from facilities.selectors import AssetContext, PointValue

MAX_ASSETS = 3
MAX_VALUES = 12
STALE_AFTER_S = 60

# UCUM codes as people write them.
_UNITS = {"Cel": "°C", "1": "", "m3/s": "m³/s", "L/s": "L/s", "[ppm]": "ppm"}
# QARTOD flags, as facilities stores them.
_QUALITY = {1: "good", 2: "not evaluated", 3: "suspect", 4: "failed", 9: "missing"}
_SUFFIXES = {
    "c": "temperature", "w": "", "pct": "", "pa": "", "lps": "", "v": "", "a": "", "s": "", "va": "",
}  # fmt: skip
_ORDERS = set(content_words("setpoint command"))
_WORDS = {"sp": "setpoint", "rh": "humidity", "temp": "", "dp": "pressure drop", "cmd": "command"}


@dataclass(frozen=True)
class LiveFacts:
    """The live source: one line a value or alarm. `is_asked_for` tells whether the question
    names a quantity of the asset (`supply temperature of CRAC 1`)."""

    assets: tuple[str, ...]
    lines: tuple[str, ...]
    is_asked_for: bool

    @property
    def text(self) -> str:
        """All lines, as put before the model."""
        return "\n".join(self.lines)


def live_facts(*, question: str) -> LiveFacts | None:
    """Current values and open alarms of the assets that the question names, or None.

    At most 3 assets and 12 values; where the question names quantities, only those.
    """
    contexts = _contexts(question)
    if not contexts:
        return None
    asked = set(content_words(question))
    values = [value for context in contexts for value in context.values]
    named = [value for value in values if _is_named(value.quantity, asked)]
    lines = [_value_line(value) for value in (named or values)[:MAX_VALUES]]
    for context in contexts:
        lines += [
            f"Open alarm on {context.asset.tag}: {alarm.message} ({alarm.severity}, since "
            f"{alarm.raised_at:%Y-%m-%d %H:%M} UTC)."
            for alarm in context.open_alarms[:5]
        ]
    if not lines:
        return None
    tags = tuple(context.asset.tag for context in contexts)
    return LiveFacts(tags, tuple(lines), bool(named) or "alarm" in asked)


def _contexts(question: str) -> "list[AssetContext]":
    from facilities.selectors import asset_context

    found: dict[str, AssetContext] = {}
    for tag in tag_candidates(question)[:12]:
        if len(found) == MAX_ASSETS:
            break
        try:
            context = asset_context(tag=tag)
        except ObjectDoesNotExist:
            continue
        found[context.asset.tag] = context
    return list(found.values())


def _is_named(quantity: str, asked: set[str]) -> bool:
    """Whether the question names the quantity; a setpoint or command only where it says so, for
    it is no measurement."""
    words = set(content_words(describe_quantity(quantity)))
    orders = words & _ORDERS
    return bool(asked & _quantity_words(quantity)) and orders <= asked


def _quantity_words(quantity: str) -> set[str]:
    """The words under which people ask for a quantity."""
    return set(content_words(describe_quantity(quantity))) - {"temperatur"} or set(
        content_words(quantity.replace("_", " "))
    )


def describe_quantity(quantity: str) -> str:
    """`supply_sp_c` → `supply setpoint temperature`; `fan_speed_pct` → `fan speed`."""
    parts = quantity.split("_")
    tail = _SUFFIXES.get(parts[-1]) if len(parts) > 1 else None
    words = parts[:-1] if tail is not None else parts
    named = [_WORDS.get(word, word) for word in words] + [tail or ""]
    return " ".join(word for word in named if word)


def _value_line(value: "PointValue") -> str:
    unit = _UNITS.get(value.unit, value.unit)
    if not unit and value.value in (0.0, 1.0):
        shown = "yes (1)" if value.value else "no (0)"
    else:
        shown = f"{value.value:.4g} {unit}".strip()
    age_s = (timezone.now() - value.ts).total_seconds()
    stale = f", {_age(age_s)} old" if age_s > STALE_AFTER_S else ""
    quality = _QUALITY.get(value.quality, str(value.quality))
    at = value.ts.astimezone(dt.UTC)
    day = f"{at:%Y-%m-%d} " if age_s > 86_400 else ""
    asset = re.sub(r"\.[^.]+$", "", value.tag)
    return (
        f"{asset} {describe_quantity(value.quantity)} is {shown} "
        f"({value.tag} at {day}{at:%H:%M:%S} UTC{stale}, quality {quality})."
    )


def _age(seconds: float) -> str:
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {name}"
    return f"{int(seconds)} s"
