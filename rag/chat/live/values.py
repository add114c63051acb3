"""Chat tool `live_values`: what points report now, and which asset reports most or least."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from rag.chat.asked import Asked, Match
from rag.chat.live import show
from rag.chat.live.series import series_result
from rag.chat.quantities import Meant, described, is_made, meant, one_meant
from rag.chat.tools import ChatTool, ToolRefused, beside, combines
from rag.chat.words import is_statement

if TYPE_CHECKING:
    from facilities.selectors import Inventory, PointValue

MAX_QUANTITIES = 12
_COMPARED = re.compile(
    r"\b(?P<side>above|over|exceed(?:s|ing)?|(?:greater|more|higher|hotter|warmer) than|at least"
    r"|below|under|(?:less|lower|colder|cooler) than|at most)\s*"
    r"(?P<value>-?\d+(?:[.,]\d+)?)\s*(?P<unit>kw|w|°\s?c|c|degrees?|%|pa|v|a|mhz|s)?\b",
    re.IGNORECASE,
)
_MOST = (
    "hottest", "warmest", "highest", "busiest", "most", "largest", "biggest", "greatest", "fullest",
)  # fmt: skip
_LEAST = ("coldest", "coolest", "lowest", "least", "smallest", "fewest")
_MEAN, _SUM = ("average", "mean"), ("total", "sum of", "altogether")
_OVERVIEW = ("status", "state", "readings", "reading", "values", "doing", "how is", "how are",
             "measurements", "telemetry", "healthy", "ok", "okay", "all right")  # fmt: skip
_IS_STATE = re.compile(r"^(?:is|are)\s+the\b", re.IGNORECASE)
_BY_UNIT = re.compile(r"\d\s*(°\s?c|degrees|celsius|kw|w|v|pa|l/s)\b", re.IGNORECASE)
_UNIT_WORDS = {"kw": "power", "w": "power", "v": "voltage", "pa": "pressure", "l/s": "flow"}
_QUESTIONS = re.compile(
    r"^(?:please\s+)?(?:what(?:'s|\s+is|\s+are|\s+was|\s+were)|how\s+(?:much|high|hot|warm|cold|full|fast"
    r"|loaded|many|has|did|was|is|are)|is|are|was|show|give|tell|plot|chart|list|display|which|where"
    r"|read|and)\b",
    re.IGNORECASE,
)


def score(asked: Asked) -> Match | None:
    """Asset or kind, quantity, and a form of question that means the present."""
    found = asked.mentions
    if (asked.is_hypothesis or is_statement(asked.text)) and not asked.also_documents:
        return None
    kinds = list(dict.fromkeys([*(asset.kind for asset in found.assets), *found.kinds]))
    if not kinds and _COMPARED.search(asked.text) and asked.asks_list:
        kinds = _kinds_meant(asked)
    if not kinds:
        return _facility_wide(asked)
    quantities = meant(asked.words | _by_unit(asked), kinds, asked.inventory)
    op, threshold, unit = _operation(asked)
    points = 2.5 if found.assets else (1.5 if _is_only_one(asked) else 1.0)
    if not found.assets and found.unknown:
        points += 1.5
    if quantities:
        points += 2.0
        if not found.assets and (op or asked.asks_now or found.plural):
            points += 1.5 + 0.5 * bool(_QUESTIONS.search(asked.text))
        elif not found.assets and _IS_STATE.search(asked.text):
            points += 1.0
    elif found.assets and asked.says(*_OVERVIEW):
        points += 2.0
    elif not (asked.asks_now and found.assets):
        return None
    points += 0.5 * bool(asked.asks_now) + 0.5 * bool(asked.span)
    combined = asked.also_documents
    if asked.wants_documents and not combined:
        points -= 3.0
    named = one_meant(quantities) if op else quantities
    chosen = found.assets if not op or not found.kinds else ()
    arguments = _arguments(asked, [a.tag for a in chosen], kinds, named, op, threshold, unit)
    return Match(points, arguments, combined or (bool(found.unknown) and not found.assets))


def _facility_wide(asked: Asked) -> Match | None:
    """A quantity that one kind alone has and that is asked for now: `the outside temperature`."""
    if asked.wants_documents or not _QUESTIONS.search(asked.text):
        return None
    found = meant(asked.words, asked.inventory.quantities, asked.inventory)
    top = max((item.score for item in found), default=0.0)
    best = [item for item in found if item.score == top]
    if top < 3.0 or len({item.kind for item in best}) != 1:
        return None
    points = 3.0 + 1.5 * asked.asks_now + 1.0 * bool(asked.span)
    if len(asked.inventory.of_kind(best[0].kind)) == 1:
        points += 0.5
    return Match(points, _arguments(asked, [], [best[0].kind], best, "", None, ""))


def _by_unit(asked: Asked) -> frozenset[str]:
    """The dimension of a figure in the question: `above 27 °C` speaks of a temperature."""
    match = _BY_UNIT.search(asked.text)
    if match is None:
        return frozenset()
    return frozenset({_UNIT_WORDS.get(match[1].lower(), "temperature")})


def _kinds_meant(asked: Asked) -> list[str]:
    """Kinds that have the quantity asked for by its own name: `all inlet temperatures`."""
    found = meant(asked.words, asked.inventory.quantities, asked.inventory)
    top = max((item.score for item in found), default=0.0)
    return [item.kind for item in found if item.score == top] if top >= 3.0 else []


def _is_only_one(asked: Asked) -> bool:
    return any(len(asked.inventory.of_kind(kind)) == 1 for kind in asked.mentions.kinds)


def _operation(asked: Asked) -> tuple[str, float | None, str]:
    if match := _COMPARED.search(asked.text):
        side = match["side"].lower()
        above = side.split()[0] in ("above", "over", "greater", "more", "higher", "hotter",
                                    "warmer") or side.startswith(("exceed", "at least"))  # fmt: skip
        return "above" if above else "below", float(match["value"].replace(",", ".")), (
            (match["unit"] or "").lower().replace(" ", "")
        )  # fmt: skip
    several = bool(asked.mentions.kinds)
    weak = several and (asked.mentions.plural or asked.asks_now)
    if asked.says(*_MOST) or (weak and asked.says("maximum", "max", "peak")):
        return ("max", None, "") if several else ("", None, "")
    if asked.says(*_LEAST) or (weak and asked.says("minimum", "min")):
        return ("min", None, "") if several else ("", None, "")
    if several and asked.says(*_MEAN):
        return "mean", None, ""
    if several and asked.says(*_SUM):
        return "sum", None, ""
    return "", None, ""


def _arguments(
    asked: Asked, tags: list[str], kinds: list[str], found: list[Meant],
    op: str, threshold: float | None, unit: str,
) -> dict[str, Any]:  # fmt: skip
    arguments: dict[str, Any] = {
        "assets": tags,
        "kinds": [] if tags else kinds,
        "quantities": list(dict.fromkeys(item.quantity for item in found)),
        "operation": op,
        "note": show.did_you_mean(asked),
    }
    if threshold is not None:
        factor = 1000.0 if unit == "kw" else 1.0
        arguments["threshold"] = threshold * factor
    if asked.span is not None:
        arguments |= {"start": asked.span.start.isoformat(), "end": asked.span.end.isoformat(),
                      "label": asked.span.label}  # fmt: skip
    return arguments


def run(_user: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Values now, or their course where a time was asked for. Raises ToolRefused."""
    from facilities.selectors import inventory

    known, now = inventory(), timezone.now()
    for tag in arguments["assets"]:
        if tag not in known.assets:
            raise ToolRefused(f"There is no asset {tag[:80]!r} in the inventory.")
    if arguments.get("start") and not arguments["operation"]:
        return series_result(arguments, known, now)
    values = _values(arguments, known)
    note = str(arguments.get("note", ""))
    if not values:
        what = ", ".join(arguments["assets"] or arguments["kinds"]) or "this"
        text = note if note and not arguments["assets"] else f"No point of {what} has reported yet."
        return show.result(
            text=text, title="Live readings", url="/points/", at=now, quality="missing"
        )
    if arguments["operation"]:
        return _compared(arguments, values, known, now, note)
    rows = [show.value_row(value, known, now) for value in values]
    facts = [show.value_fact(value, now, show.states_of(value, known)) for value in values]
    text = " ".join(facts[:2]) if len(values) <= 2 else _counted(values, known)
    tags = list(dict.fromkeys(value.asset for value in values))
    return show.result(
        text=f"{text} {note}".strip(), title="Live readings",
        url=show.asset_url(tags[0]) if len(tags) == 1 else "/points/", at=now,
        table=show.table(show.VALUE_COLUMNS, rows), quality=show.worst(values, now),
        facts=facts, assets=tags[:6],
    )  # fmt: skip


def _counted(values: "list[PointValue]", known: "Inventory") -> str:
    tags = list(dict.fromkeys(value.asset for value in values))
    whose = known.assets[tags[0]].name if len(tags) == 1 else f"{len(tags)} assets"
    return f"{len(values)} readings of {whose}."


def _values(arguments: Mapping[str, Any], known: "Inventory") -> "list[PointValue]":
    from facilities.selectors import kind_values, latest_values

    quantities = arguments["quantities"]
    if arguments["assets"]:
        tags = [
            f"{tag}.{quantity}"
            for tag in arguments["assets"]
            for quantity in (quantities or _all_of(known.assets[tag].kind, known))
        ]
        return list(latest_values(tags=tags).values())
    found = []
    for kind in arguments["kinds"]:
        if quantities:
            found += kind_values(kind=kind, quantities=quantities)
    return found


def _all_of(kind: str, known: "Inventory") -> list[str]:
    return [name for name in known.quantities.get(kind, {}) if not is_made(name)]


def _compared(
    arguments: Mapping[str, Any],
    values: "list[PointValue]",
    known: "Inventory",
    now: Any,
    note: str,
) -> dict[str, Any]:
    """Most, least, mean, sum, or what lies beyond a level. Failed readings are left out and told."""
    op, level = arguments["operation"], float(arguments.get("threshold") or 0.0)
    usable = [value for value in values if value.quality < 4]
    left_out = len(values) - len(usable)
    said = [f"{left_out} readings flagged failed or missing are left out."] if left_out else []
    if not usable:
        return show.result(text="No usable reading.", title="Live readings", at=now, quality="failed",
                           notes=said)  # fmt: skip
    unit, what = usable[0].unit, described(usable[0].quantity)
    same = [value for value in usable if value.unit == unit]
    kinds = known.assets[same[0].asset].kind
    if op in ("mean", "sum"):
        total = sum(value.value for value in same)
        figure = total if op == "sum" else total / len(same)
        word = "sum" if op == "sum" else "mean"
        text = (f"The {word} of {what} over {len(same)} {kinds} points is "
                f"{show.number(figure, unit)} at {show.clock(now, now=now)}.")  # fmt: skip
        ranked = sorted(same, key=lambda value: -value.value)
        facts = [text]
    elif op in ("above", "below"):
        beyond = [v for v in same if (v.value > level if op == "above" else v.value < level)]
        ranked = sorted(beyond, key=lambda v: v.value, reverse=op == "above")
        text = (f"{len(ranked) or 'None'} of {len(same)} {kinds} points report a {what} {op} "
                f"{show.number(level, unit)}.")  # fmt: skip
        facts = [text] + [show.value_fact(v, now, show.states_of(v, known)) for v in ranked]
    else:
        ranked = sorted(same, key=lambda v: v.value, reverse=op == "max")[:5]
        first = ranked[0]
        name = known.assets[first.asset].name
        word = "highest" if op == "max" else "lowest"
        text = (f"{first.asset} has the {word} {what} of {len(same)} {kinds} points: "
                f"{show.number(first.value, unit)} ({name}, {show.clock(first.ts, now=now)}, quality "
                f"{show.QUALITY.get(first.quality, '?')}).")  # fmt: skip
        facts = [text] + [show.value_fact(v, now, show.states_of(v, known)) for v in ranked[1:]]
    rows = [show.value_row(value, known, now) for value in ranked]
    return show.result(
        text=f"{text} {note}".strip(), title="Live readings", url="/points/", at=now,
        table=show.table(show.VALUE_COLUMNS, rows), quality=show.worst(ranked or same, now),
        facts=facts, assets=[value.asset for value in ranked[:6]], notes=said,
    )  # fmt: skip


_TAGS = {"type": "array", "items": {"type": "string", "maxLength": 141}, "maxItems": 6}
TOOL = ChatTool(
    name="live_values",
    description="Reading live values",
    permission="",
    score=score,
    run=run,
    combines=combines,
    beside=beside,
    purpose=(
        "What points report now or reported over a time: values of named equipment or of a "
        "kind of equipment; the most, least, mean or sum of a quantity; what is above or "
        "below a level."
    ),
    schema={
        "type": "object",
        "required": ["assets", "kinds", "quantities", "operation"],
        "additionalProperties": False,
        "properties": {
            "assets": _TAGS,
            "kinds": _TAGS,
            "quantities": {**_TAGS, "maxItems": MAX_QUANTITIES},
            "operation": {"enum": ["", "max", "min", "mean", "sum", "above", "below"]},
            "threshold": {"type": "number"},
            "start": {"type": "string", "format": "date-time"},
            "end": {"type": "string", "format": "date-time"},
            "label": {"type": "string", "maxLength": 80},
            "note": {"type": "string", "maxLength": 1000},
        },
    },
)
