"""What is asked: changes over time, how long to look ahead, how many draws, which series.

Everything that comes in is taken for hostile: every refusal names the field and what would do.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from facilities.twin.drive import DRIVES, Drive
from facilities.twin.schedule import Change
from facilities.twin.site import Site, SiteError

from .catalogue import ENTRIES, changes_of
from .limits import DataList

MAX_CHANGES: Final = 50
MAX_MOVES: Final = 20_000
"""Drives moved by all changes together: every GPU of a large site, twice."""
MAX_DURATION_S: Final = 86_400.0
MIN_DURATION_S: Final = 60.0
MAX_DRAWS: Final = 32
MAX_RUN_DRAWS: Final = 500
MAX_RECORD: Final = 40
DEFAULT_DURATION_S: Final = 1_800.0
DEFAULT_DRAWS: Final = 8
"""Draws of an answer at once: enough for a band, few enough for a fifth of a second (measured)."""

AGGREGATES: Final = ("max", "min", "sum", "mean")
_AGGREGATE: Final = re.compile(r"(max|min|sum|mean)\(([a-z_]+)\.([a-z0-9_]+)\)\Z")
_FIELDS: Final = {"changes", "duration_s", "draws", "seed", "record", "title"}
_CHANGE_FIELDS: Final = {"at_s", "asset", "quantity", "what", "value", "ramp_s"}


class QuestionError(ValueError):
    """A question that cannot be asked; ``field`` is where, the message what would be right."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


class Wanted(NamedTuple):
    """One series: a point's, or an aggregate over all assets of a kind."""

    name: str
    kind: str
    quantity: str
    row: int | None
    aggregate: str = ""


@dataclass(frozen=True, slots=True)
class Option:
    """One course of events: its changes, and what people call it."""

    title: str
    changes: tuple[Change, ...] = ()
    groups: tuple[str, ...] = ()


NOTHING: Final = Option("Do nothing")


@dataclass(frozen=True, slots=True)
class Question:
    """Doing nothing is always the first course; ``options`` are the others."""

    options: tuple[Option, ...]
    duration_s: float = DEFAULT_DURATION_S
    draws: int = DEFAULT_DRAWS
    seed: int = 0
    record: tuple[Wanted, ...] = ()

    @property
    def variants(self) -> int:
        """Courses of events, doing nothing included."""
        return 1 + len(self.options)

    def scheduled(self) -> list[Change]:
        """Every option's changes, each for its own variant."""
        return [
            Change(c.at_s, c.asset, c.quantity, c.value, c.ramp_s, number)
            for number, option in enumerate(self.options, start=1)
            for c in option.changes
        ]


def question_read(
    data: Any, *, site: Site, drive: Drive, listed: DataList, max_draws: int = MAX_DRAWS
) -> Question:
    """Read a question of the API. Raises ``QuestionError`` with the field and what would do."""
    if not isinstance(data, Mapping):
        raise QuestionError("question", "send a JSON object with changes and duration_s")
    _only(data, _FIELDS, "")
    duration_s = _number(data, "duration_s", DEFAULT_DURATION_S)
    if not MIN_DURATION_S <= duration_s <= MAX_DURATION_S:
        raise QuestionError(
            "duration_s",
            f"{duration_s:g} s is not from {MIN_DURATION_S:g} s to {MAX_DURATION_S:g} s (24 h)",
        )
    draws = _whole(data, "draws", min(DEFAULT_DRAWS, max_draws), 1, max_draws)
    seed = _whole(data, "seed", 0, 0, 2**31 - 1)
    changes = data.get("changes", [])
    if not isinstance(changes, Sequence) or isinstance(changes, str):
        raise QuestionError("changes", "must be a list")
    if len(changes) > MAX_CHANGES:
        raise QuestionError("changes", f"{len(changes)} changes, at most {MAX_CHANGES}")
    made: list[Change] = []
    sentences: list[str] = []
    groups: list[str] = []
    for number, item in enumerate(changes):
        found = _change(item, f"changes[{number}]", site, drive, listed, duration_s)
        made += found.changes
        sentences.append(found.title)
        groups += found.groups
    if len(made) > MAX_MOVES:
        raise QuestionError(
            "changes", f"they move {len(made):,} drives, at most {MAX_MOVES:,}; name fewer assets"
        )
    title = data.get("title", "")
    if not isinstance(title, str) or len(title) > 200 or "\0" in title:
        raise QuestionError("title", "must be a text of at most 200 characters")
    option = Option(title.strip() or _joined(sentences), tuple(made), tuple(dict.fromkeys(groups)))
    record = data.get("record", [])
    if not isinstance(record, Sequence) or isinstance(record, str):
        raise QuestionError("record", "must be a list of points")
    if len(record) > MAX_RECORD:
        raise QuestionError("record", f"{len(record)} series, at most {MAX_RECORD}")
    return Question((option,), duration_s, draws, seed, wanted_read(record, site=site))


def wanted_read(names: Iterable[Any], *, site: Site) -> tuple[Wanted, ...]:
    """Series by name: ``rack-1-03.inlet_c``, or ``max(rack.inlet_c)`` over all racks.

    Raises ``QuestionError``. Whether the twin computes the quantity is found out when it runs.
    """
    found: dict[str, Wanted] = {}
    for number, name in enumerate(names):
        field = f"record[{number}]"
        if not isinstance(name, str) or len(name) > 150:
            raise QuestionError(field, "must be a text such as rack-1-03.inlet_c")
        made = _AGGREGATE.match(name)
        if made:
            if not site.count(made[2]):
                raise QuestionError(field, f"{name}: the site has no {made[2]}")
            found[name] = Wanted(name, made[2], made[3], None, made[1])
            continue
        tag, _, quantity = name.rpartition(".")
        try:
            place = site.locate(tag)
        except SiteError:
            raise QuestionError(
                field,
                f"{name[:100]!r} is no point of the twin; write rack-1-03.inlet_c, or "
                f"{' or '.join(f'{a}(rack.inlet_c)' for a in AGGREGATES)}",
            ) from None
        found[name] = Wanted(name, place.kind, quantity, place.row)
    return tuple(found.values())


def _change(
    item: Any, field: str, site: Site, drive: Drive, listed: DataList, duration_s: float
) -> Option:
    if not isinstance(item, Mapping):
        raise QuestionError(field, "must be an object with asset, and quantity and value, or what")
    _only(item, _CHANGE_FIELDS, f"{field}.")
    asset = item.get("asset")
    if not isinstance(asset, str) or not asset:
        raise QuestionError(f"{field}.asset", "name an asset of the data list, or site")
    kind = "site"
    if asset != "site":
        try:
            kind = site.locate(asset).kind
        except SiteError:
            raise QuestionError(
                f"{field}.asset", f"{asset[:80]!r} is not an asset of the data list"
            ) from None
    at_s = _time(item, "at_s", 0.0, field, duration_s)
    ramp_s = _time(item, "ramp_s", None, field, duration_s)
    if ("what" in item) == ("quantity" in item):
        raise QuestionError(field, "give either what (of the catalogue) or quantity (a drive)")
    if "what" in item:
        return _named(item, field, asset, kind, at_s, ramp_s, site, drive, listed)
    return _free(item, field, asset, kind, at_s, ramp_s, listed)


def _named(
    item: Mapping[str, Any],
    field: str,
    asset: str,
    kind: str,
    at_s: float,
    ramp_s: float | None,
    site: Site,
    drive: Drive,
    listed: DataList,
) -> Option:
    entry = ENTRIES.get(str(item["what"]))
    if entry is None:
        raise QuestionError(
            f"{field}.what",
            f"{str(item['what'])[:60]!r} is not in the catalogue, see "
            "/api/v1/twin/whatif/catalogue",
        )
    if kind not in entry.kinds:
        raise QuestionError(
            f"{field}.what",
            f"{entry.name} is asked of a {' or a '.join(entry.kinds)}; {asset} is a {kind}",
        )
    if entry.value is not None:
        if item.get("value") not in (None, entry.value):
            raise QuestionError(f"{field}.value", f"{entry.name} takes no value")
        value = entry.value
    else:
        value = _number(item, "value", entry.default, f"{field}.")
        span = entry.span(site, listed, asset)
        _within(value, span.low, span.high, entry.unit, f"{field}.value", f"{entry.name} {asset}")
    made = changes_of(entry, site, drive, asset=asset, value=value, at_s=at_s, ramp_s=ramp_s)
    if not made:
        raise QuestionError(f"{field}.asset", f"{asset} has no {entry.drives[0][0][0]} in it")
    sentence = entry.sentence.format(name=listed.name(asset), value=value)
    return Option(_when(sentence, at_s), tuple(made), (entry.group,))


def _free(
    item: Mapping[str, Any],
    field: str,
    asset: str,
    kind: str,
    at_s: float,
    ramp_s: float | None,
    listed: DataList,
) -> Option:
    quantity = item["quantity"]
    if not isinstance(quantity, str) or (kind, quantity) not in DRIVES:
        known = ", ".join(sorted(q for of, q in DRIVES if of == kind)) or "nothing"
        raise QuestionError(
            f"{field}.quantity",
            f"{asset} is a {kind}: {str(quantity)[:60]!r} cannot be set; what can: {known}",
        )
    if "value" not in item:
        raise QuestionError(f"{field}.value", "give a number")
    value = _number(item, "value", 0.0, f"{field}.")
    spec, span = DRIVES[kind, quantity], listed.span(kind, asset, quantity)
    _within(value, span.low, span.high, spec.unit, f"{field}.value", f"{asset}.{quantity}")
    group = {"command": "action", "health": "fault", "boundary": "outside"}[spec.role]
    sentence = f"{asset}.{quantity} is set to {value:g}"
    return Option(
        _when(sentence, at_s), (Change(at_s, asset, quantity, value, ramp_s or 0.0),), (group,)
    )


def _when(sentence: str, at_s: float) -> str:
    return sentence if at_s <= 0 else f"{sentence} after {spoken(at_s)}"


def spoken(seconds: float) -> str:
    """A time as people say it: 40 s, 6 min, 1 h 10 min."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def _joined(sentences: Sequence[str]) -> str:
    if not sentences:
        return "nothing changes"
    shown = list(sentences[:3])
    if len(sentences) > 3:
        shown.append(f"{len(sentences) - 3} more changes")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _only(data: Mapping[str, Any], known: set[str], prefix: str) -> None:
    unknown = sorted(str(key) for key in data if key not in known)
    if unknown:
        raise QuestionError(
            f"{prefix}{unknown[0][:60]}", f"unknown field; known are {', '.join(sorted(known))}"
        )


def _number(data: Mapping[str, Any], name: str, default: float, prefix: str = "") -> float:
    value = data.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise QuestionError(f"{prefix}{name}", f"{str(value)[:40]!r} is not a number")
    try:
        made = float(value)
    except OverflowError:
        made = math.inf
    if not math.isfinite(made):
        raise QuestionError(f"{prefix}{name}", "must be a finite number")
    return made


def _whole(data: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = _number(data, name, default)
    if value != int(value) or not low <= value <= high:
        raise QuestionError(name, f"{value:g} is not a whole number from {low} to {high}")
    return int(value)


def _time(
    item: Mapping[str, Any], name: str, default: float | None, field: str, duration_s: float
) -> Any:
    if item.get(name) is None:
        return default
    value = _number(item, name, 0.0, f"{field}.")
    if not 0 <= value <= duration_s:
        raise QuestionError(
            f"{field}.{name}", f"{value:g} s is not from 0 s to the duration, {duration_s:g} s"
        )
    return value


def _within(value: float, low: float, high: float, unit: str, field: str, what: str) -> None:
    if not low <= value <= high:
        unit = "" if unit == "1" else f" {unit}"
        raise QuestionError(field, f"{what}: {value:g}{unit} is outside {low:g} … {high:g}{unit}")
