"""Which quantities of a kind of asset a question's words mean: `supply temperature`, `fan speed`."""

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from rag.chat.words import stem, stems

if TYPE_CHECKING:
    from facilities.selectors import Inventory, QuantityName

#: Last part of a quantity's name: the dimension in words ('' adds none).
DIMENSIONS: dict[str, str] = {
    "c": "temperature", "w": "power", "pct": "", "pa": "pressure", "kpa": "pressure",
    "lps": "flow", "v": "voltage", "a": "current", "s": "", "va": "power", "mhz": "clock",
    "hz": "frequency", "gbps": "throughput", "mohm": "resistance", "wh": "energy", "kwh": "energy",
}  # fmt: skip
_PARTS: dict[str, str] = {
    "sp": "setpoint", "cmd": "command", "dp": "pressure", "rh": "humidity", "temp": "temperature",
    "util": "utilisation", "sm": "", "it": "it",
}  # fmt: skip
_GENERIC = """
temperature power pressure flow speed voltage current energy share at this of by unit water air last
reason step phase to per error state event a the
"""
GENERIC = frozenset(_GENERIC.split())
ORDERS = frozenset({"setpoint", "command", "limit"})
#: Points that the twin and the quality tests make of others; meant only where they are named.
MADE = frozenset({"residual", "sigma", "maintenance"})
#: Where only `temperature` is said, this is meant of a kind that has several.
FIRST_MEANT = ("inlet", "supply", "temp", "leaving", "dry", "return")
MAX_QUANTITIES = 4


class Meant(NamedTuple):
    """A quantity of a kind, and how well the words fit: 1 a dimension, 2 a distinguishing word."""

    kind: str
    quantity: str
    score: float


def described(quantity: str) -> str:
    """`supply_sp_c` → `supply setpoint temperature`; `fan_speed_pct` → `fan speed`."""
    parts = quantity.split("_")
    tail = DIMENSIONS.get(parts[-1]) if len(parts) > 1 else None
    named = [_PARTS.get(part, part) for part in (parts[:-1] if tail is not None else parts)]
    return " ".join(word for word in [*named, "" if tail in named else tail or ""] if word)


def is_made(quantity: str) -> bool:
    """Whether a quantity is worked out of others, and no measurement of its own."""
    return bool(MADE & set(quantity.split("_")))


def meant(words: Iterable[str], kinds: Iterable[str], inventory: "Inventory") -> list[Meant]:
    """The quantities that the stems name, best kinds and quantities only; [] when none is named.

    A setpoint or a command counts only where the question says so: it is no measurement.
    """
    said = frozenset(words)
    found = [
        Meant(kind, name.quantity, score)
        for kind in kinds
        for name in inventory.quantities.get(kind, {}).values()
        if (score := _score(said, name)) > 0
    ]
    best: dict[str, float] = {}
    for item in found:
        best[item.kind] = max(best.get(item.kind, 0.0), item.score)
    kept = [item for item in found if item.score == best[item.kind]]
    return kept[: MAX_QUANTITIES * max(1, len(best))]


def one_meant(found: list[Meant]) -> list[Meant]:
    """One quantity a kind: where `temperature` alone was said, the one that decides."""
    kept: dict[str, Meant] = {}

    def rank(item: Meant) -> int:
        head = item.quantity.split("_")[0]
        return FIRST_MEANT.index(head) if head in FIRST_MEANT else len(FIRST_MEANT)

    for item in sorted(found, key=rank):
        kept.setdefault(item.kind, item)
    return list(kept.values())


def _score(said: frozenset[str], name: "QuantityName") -> float:
    own = _words(name.quantity, name.name)
    if (own & (ORDERS | MADE)) - said:
        return 0.0
    if said & {"setpoint", "command"} and not own & ORDERS:
        return 0.0
    hits = said & own
    special = len(hits - GENERIC)
    if not special and not hits & {"temperature", "power", "humidity", "flow", "voltage", "current",
                                   "pressure", "energy"}:  # fmt: skip
        return 0.0
    named = len((hits - GENERIC) & stems(described(name.quantity)))
    return 2.0 * special + len(hits & GENERIC) + 0.25 * named


@lru_cache(maxsize=2_000)
def _words(quantity: str, name: str) -> frozenset[str]:
    words = set(stems(described(quantity)))
    extra = {stem(word) for word in stems(name)}
    if quantity.endswith("_w") and "load" in quantity:
        extra.add("power")
    return frozenset(words | extra)
