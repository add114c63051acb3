"""How the gate's pages spell numbers, units, hashes and JSON."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

from django import template
from django.utils.dateparse import parse_datetime
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from approvals.states import STATE_TONES

register = template.Library()

UNITS = {"Cel": "°C", "1": "", "[degF]": "°F"}
RISK_TONES = {"low": "neutral", "medium": "medium", "high": "critical"}


@register.filter
def unit(code: str) -> str:
    """A UCUM code as people write it."""
    return UNITS.get(code, code)


@register.filter
def number(value: Any) -> str:
    """Up to two decimals, thousands apart by a thin space; a dash for nothing."""
    if value is None or value == "":
        return "–"
    text = f"{float(value):,.2f}".rstrip("0").rstrip(".")
    return text.replace(",", "\u2009")


@register.filter
def short_hash(value: str) -> str:
    """The first twelve characters, enough to compare by eye."""
    return value[:12]


@register.filter
def pretty_json(value: Any) -> str:
    """Indented JSON for people; escaped by the template as usual."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True, default=str)


@register.filter
def moment(value: str | datetime | None) -> datetime | None:
    """An ISO string of a JSON field as a datetime, for the date filters."""
    return parse_datetime(value) if isinstance(value, str) else value


@register.filter
def state_tone(state: str) -> str:
    return STATE_TONES.get(state, "neutral")


@register.filter
def risk_tone(risk: str) -> str:
    return RISK_TONES.get(risk, "neutral")


@register.filter
def step_tone(ok: bool) -> str:
    return "ok" if ok else "critical"


@register.filter
def as_list(value: Any) -> list[Any]:
    """A list as it is, one thing as a list of it, nothing as an empty one."""
    if value in (None, "", {}):
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


@register.filter
def said(value: Any) -> str:
    """What a field of the agent's case says: a sentence, or an object that has one; a share as %."""
    if isinstance(value, dict):
        named = (value.get(name) for name in ("sentence", "text", "word", "title", "name"))
        return next((str(text) for text in named if text), pretty_json(value))
    if isinstance(value, float | int) and not isinstance(value, bool) and 0 <= value <= 1:
        return percent(value)
    return str(value)


@register.filter
def sentences(values: list[Any]) -> str:
    return "; ".join(said(value) for value in values)


@register.filter
def percent(share: Any) -> str:
    """A share of one as a whole percentage; a dash for what is none."""
    try:
        return f"{float(share) * 100:.0f} %"
    except (TypeError, ValueError):
        return "–"


@register.filter
def counted(value: Any) -> int:
    """How many: the length of a list, or the number itself."""
    return len(value) if isinstance(value, list | tuple | dict) else int(value or 0)


@register.filter
def duration(seconds: Any) -> str:
    """Seconds as people say them: `90 s`, `15 min`, `4 h`, `2 d`."""
    value = float(seconds or 0)
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if value >= 2 * size or value == size:
            return f"{value / size:.1f}".removesuffix(".0") + f" {name}"
    return f"{value:.0f} s"


@register.filter
def object_url(obj: str) -> str:
    """Where the object of an audit entry is shown; "" where it has no page."""
    name, _, rest = obj.partition(":")
    pages = {
        "proposal": "/approvals/{}/",
        "alarm": "/alarms/#alarm-{}",
        "investigation": "/approvals/investigations/{}/",
        "window": "/approvals/windows/",
        "policy": "/approvals/policy/",
        "break_glass": "/approvals/reviews/",
        "notification_rule": "/approvals/notifications/",
    }
    if name in ("proposal", "alarm", "investigation") and not rest.isdigit():
        return ""
    return pages.get(name, "").format(rest)


@register.filter
def value(given: Any) -> str:
    """A parameter as people read it: numbers short, lists with commas, nothing as a dash."""
    if isinstance(given, bool) or given is None or given == "":
        return "–" if given is None or given == "" else ("yes" if given else "no")
    if isinstance(given, int | float):
        return number(given)
    return ", ".join(map(str, given)) if isinstance(given, list | tuple) else str(given)


QUALITIES = {2: "unknown", 3: "suspect", 4: "failed", 9: "missing"}


@register.filter
def quality(flag: Any) -> str:
    """A QARTOD flag as a word."""
    return QUALITIES.get(flag, str(flag))


_BOLD, _CODE = re.compile(r"\*\*(.+?)\*\*"), re.compile(r"`([^`\n]+)`")


@register.filter
def procedure_words(text: str) -> SafeString:
    """The text of a step with its **bold** and `code`; whatever else it holds is escaped."""
    words = _BOLD.sub(r"<b>\1</b>", escape(text))
    return mark_safe(_CODE.sub(r'<code class="write">\1</code>', words))  # noqa: S308 (escaped)
