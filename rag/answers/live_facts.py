"""Live readings as a source: what the points named in a question report right now."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ObjectDoesNotExist
from django.utils import timezone

from rag.answers.grounding import content_words
from rag.chat.live.show import value_fact
from rag.chat.quantities import is_made
from rag.codes import tag_candidates

if TYPE_CHECKING:
    from facilities.selectors import AssetContext

MAX_ASSETS = 3
MAX_VALUES = 12

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

    @classmethod
    def of_result(cls, result: Mapping[str, Any]) -> "LiveFacts | None":
        """A chat tool's facts as the live source, or None where it found none."""
        lines = tuple(str(fact) for fact in result.get("facts", ()))[:MAX_VALUES]
        if not lines:
            return None
        return cls(tuple(str(tag) for tag in result.get("assets", ())), lines, is_asked_for=False)


def live_facts(*, question: str) -> LiveFacts | None:
    """Current values and open alarms of the assets that the question names, or None.

    At most 3 assets and 12 values; where the question names quantities, only those.
    """
    contexts = _contexts(question)
    if not contexts:
        return None
    asked = set(content_words(question))
    values = [v for context in contexts for v in context.values if not is_made(v.quantity)]
    named = [value for value in values if _is_named(value.quantity, asked)]
    now = timezone.now()
    lines = [value_fact(value, now) for value in (named or values)[:MAX_VALUES]]
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
