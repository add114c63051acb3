"""The columns of the file, each with how its value is written and read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from facilities.models import Point

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins so for a formula (OWASP, CSV injection)."""


class Column(NamedTuple):
    """One column: its name, the value of a point, and how a text cell becomes a value."""

    name: str
    value: Callable[[Point], Any]
    parse: Callable[[Any], Any]
    field: str


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | dict | list):
        raise ValueError(f"must be text, not {value!r}")
    text = str(value).strip()
    if "\0" in text:
        raise ValueError("has a NUL character")
    return text


def _number(value: Any) -> float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, bool):
        raise ValueError(f"must be a number, not {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"must be a number, not {str(value)[:40]!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"must be a finite number, not {value}")
    return number


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("true", "yes", "1"):
        return True
    if text in ("false", "no", "0", "", "none"):
        return False
    raise ValueError(f"must be true or false, not {text[:40]!r}")


def _enum(value: Any) -> dict[str, str] | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError('must be like {"0": "off", "1": "on"}') from None
    if not isinstance(value, dict):
        raise ValueError('must be like {"0": "off", "1": "on"}')
    return {str(key): str(name) for key, name in value.items()} or None


def _plain(field: str, parse: Callable[[Any], Any]) -> Column:
    return Column(field, lambda point: getattr(point, field), parse, field)


COLUMNS: Final = (
    _plain("tag", _text),
    Column("asset", lambda point: point.asset.tag, _text, "asset"),
    _plain("quantity", _text),
    _plain("name", _text),
    _plain("brick_class", _text),
    _plain("haystack", _text),
    _plain("unit", _text),
    _plain("min_value", _number),
    _plain("max_value", _number),
    _plain("precision", _number),
    _plain("sampling_interval_s", _number),
    _plain("response_time_s", _number),
    _plain("source_interface", _text),
    Column("source", lambda point: point.source.name if point.source else "", _text, "source"),
    _plain("owner", _text),
    _plain("verified", _flag),
    _plain("writable", _flag),
    _plain("write_min", _number),
    _plain("write_max", _number),
    _plain("enum", _enum),
)
BY_NAME: Final = {column.name: column for column in COLUMNS}


def cell(value: Any) -> str:
    """A value as a CSV cell; ``uncell`` undoes it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
    return f"'{text}" if text.startswith((*_FORMULA, "'")) else text


def uncell(text: str) -> str:
    """A CSV cell as it was before ``cell`` protected it."""
    return text[1:] if text.startswith(tuple(f"'{c}" for c in (*_FORMULA, "'"))) else text
