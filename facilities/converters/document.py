"""The YAML of a converter, read and checked.

```yaml
use: [telegraf_ipmi_sensor]        # ready maps, tried after the rules below
rules:                             # the first rule that takes a series decides
  - series: modbus.temp_raw        # name of the series; * and ? as in file names, or /a regex/
    match: {slave: "(?P<unit_no>[0-9]+)"}   # label: regex for its whole value
    point: crac-{unit_no}.supply_c # {label}, {group}, {label|snake}; the tag of the data list
    scale: 0.1                     # value * scale + offset, then unit → the point's unit
    offset: 0
    unit: Cel
  - series: ipmi_sensor.status
    point: "{server|tag}.health"
    values: {ok: 1, warning: 2}    # number for a text (or a number); `other:` for the rest
  - series: if_in_octets
    point: "{host}.in_by_s"
    counter: {wraps_at: 4294967296}   # or true; the point gets the rate per second
  - series: "*"
    drop: true                     # neither stored nor quarantined
```
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from facilities.converters.rules import Rule, Suggestion, TemplateError, compiled, fields_of
from facilities.converters.units import SAME, Linear, UnitError, ucum
from facilities.tags import POINT_TAG

MAX_RULES: Final = 500
_RULE_KEYS: Final = frozenset(
    [
        "series",
        "match",
        "point",
        "scale",
        "offset",
        "unit",
        "values",
        "other",
        "counter",
        "drop",
        "suggest",
        "note",
    ]
)
_SUGGEST_KEYS: Final = frozenset(
    ["name", "class", "unit", "range", "precision", "interval_s", "interface", "enum"]
)


class DocumentError(ValueError):
    """Everything that is wrong with a converter's document."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Document:
    """A checked converter: its own rules, then those of the maps it uses."""

    rules: tuple[Rule, ...] = ()
    use: tuple[str, ...] = ()


def read_document(text: str, *, origin: str = "converter") -> Document:
    """Read a document. Raises ``DocumentError`` that lists every problem with its rule."""
    try:
        data = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        what = getattr(error, "problem", None) or str(error)
        raise DocumentError([f"{where}not YAML: {what}"]) from error
    if data is None:
        return Document()
    problems: list[str] = []
    if not isinstance(data, dict):
        raise DocumentError(["the document must be a mapping with the keys use and rules"])
    problems += [f"unknown key {key!r}; there are use, rules" for key in data if key not in _TOP]
    use = _texts(data.get("use") or [], "use", problems)
    rules = data.get("rules") or []
    if not isinstance(rules, list) or len(rules) > MAX_RULES:
        raise DocumentError([*problems, f"rules must be a list of at most {MAX_RULES}"])
    made = [_rule(number, item, origin, problems) for number, item in enumerate(rules, 1)]
    if problems:
        raise DocumentError(problems)
    return Document(tuple(rule for rule in made if rule is not None), tuple(use))


_TOP: Final = frozenset(("use", "rules", "description"))


def _texts(value: Any, what: str, problems: list[str]) -> list[str]:
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        problems.append(f"{what} must be a text or a list of texts")
        return []
    return value


def _rule(number: int, item: Any, origin: str, problems: list[str]) -> Rule | None:
    before = len(problems)
    where = f"rule {number}"
    if not isinstance(item, dict):
        problems.append(f"{where}: must be a mapping with series and point")
        return None
    problems += [
        f"{where}: unknown key {key!r}; there are {', '.join(sorted(_RULE_KEYS))}"
        for key in item
        if key not in _RULE_KEYS
    ]
    series = tuple(_texts(item.get("series") or [], f"{where}: series", problems))
    if not series:
        problems.append(f"{where}: series is missing")
    name_regex = None
    try:
        if len(series) == 1 and len(series[0]) > 2 and series[0][0] == series[0][-1] == "/":
            name_regex = compiled(series[0][1:-1])
        match = {
            str(label): compiled(str(pattern))
            for label, pattern in _mapping(item.get("match"), f"{where}: match", problems).items()
        }
    except TemplateError as error:
        problems.append(f"{where}: {error}")
        match = {}
    drop = item.get("drop", False)
    point = item.get("point", "")
    if drop is True and point:
        problems.append(f"{where}: drop and point contradict one another; keep one")
    elif drop is not True:
        _check_point(point, where, problems)
    counter, wraps_at = _counter(item.get("counter", False), where, problems)
    rule = Rule(
        number=number,
        origin=origin,
        series=series,
        point=str(point),
        match=match,
        name_regex=name_regex,
        unit=_unit(item.get("unit", ""), f"{where}: unit", problems),
        linear=_linear(item, where, problems),
        values=_values(item.get("values"), where, problems),
        other=_number(item.get("other"), f"{where}: other", problems),
        counter=counter,
        wraps_at=wraps_at,
        drop=drop is True,
        suggest=_suggest(item.get("suggest"), where, problems),
    )
    return rule if len(problems) == before else None


def _check_point(point: Any, where: str, problems: list[str]) -> None:
    if not isinstance(point, str) or not point:
        problems.append(f"{where}: point is missing (or write drop: true)")
        return
    try:
        fields = fields_of(point)
    except TemplateError as error:
        problems.append(f"{where}: point {error}")
        return
    if not fields and not POINT_TAG.match(point):
        problems.append(
            f"{where}: point {point!r} is no tag; a tag is <asset-tag>.<quantity>, for example "
            "crac-1.supply_c"
        )


def _mapping(value: Any, what: str, problems: list[str]) -> dict[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        problems.append(f"{what} must be a mapping")
        return {}
    return value


def _number(value: Any, what: str, problems: list[str]) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        problems.append(f"{what} must be a number, not {str(value)[:40]!r}")
        return None
    return float(value)


def _unit(value: Any, what: str, problems: list[str]) -> str:
    if value in ("", None):
        return ""
    try:
        return ucum(str(value))
    except UnitError as error:
        problems.append(f"{what}: {error}")
        return ""


def _linear(item: dict[Any, Any], where: str, problems: list[str]) -> Linear:
    scale = _number(item.get("scale"), f"{where}: scale", problems)
    offset = _number(item.get("offset"), f"{where}: offset", problems)
    if scale == 0:
        problems.append(f"{where}: scale 0 would make every value the same")
    if scale is None and offset is None:
        return SAME
    return Linear(1.0 if scale is None else scale, offset or 0.0)


def _values(value: Any, where: str, problems: list[str]) -> dict[str, float] | None:
    if value is None:
        return None
    found = {}
    for text, number in _mapping(value, f"{where}: values", problems).items():
        made = _number(number, f"{where}: values: {text}", problems)
        # YAML reads yes, on and 1 as something else than text; a message says them as text.
        name = str(text).lower() if isinstance(text, bool) else str(text)
        found[name] = 0.0 if made is None else made
    return found


def _counter(value: Any, where: str, problems: list[str]) -> tuple[bool, float | None]:
    if isinstance(value, bool):
        return value, None
    if not isinstance(value, dict) or set(value) != {"wraps_at"}:
        problems.append(f"{where}: counter must be true, or {{wraps_at: 4294967296}}")
        return False, None
    wraps_at = _number(value["wraps_at"], f"{where}: counter: wraps_at", problems)
    if wraps_at is not None and wraps_at <= 0:
        problems.append(f"{where}: counter: wraps_at {wraps_at:g} must be above 0")
    return True, wraps_at


def _suggest(value: Any, where: str, problems: list[str]) -> Suggestion:
    data = _mapping(value, f"{where}: suggest", problems)
    problems += [
        f"{where}: suggest: unknown key {key!r}; there are {', '.join(sorted(_SUGGEST_KEYS))}"
        for key in data
        if key not in _SUGGEST_KEYS
    ]
    low = high = None
    span = data.get("range")
    if span is not None:
        if not isinstance(span, list) or len(span) != 2:
            problems.append(f"{where}: suggest: range must be [low, high]")
        else:
            low = _number(span[0], f"{where}: suggest: range", problems)
            high = _number(span[1], f"{where}: suggest: range", problems)
            if low is not None and high is not None and low >= high:
                problems.append(f"{where}: suggest: range [{low:g}, {high:g}] is empty")
    enum = data.get("enum")
    return Suggestion(
        name=str(data.get("name", ""))[:200],
        brick=str(data.get("class", ""))[:100],
        unit=_unit(data.get("unit", ""), f"{where}: suggest: unit", problems),
        low=low,
        high=high,
        precision=_number(data.get("precision"), f"{where}: suggest: precision", problems),
        interval_s=_number(data.get("interval_s"), f"{where}: suggest: interval_s", problems),
        interface=str(data.get("interface", ""))[:40],
        enum={str(k): str(v) for k, v in enum.items()} if isinstance(enum, dict) else None,
    )
