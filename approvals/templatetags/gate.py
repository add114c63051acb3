"""How the gate's pages spell numbers, units, hashes and JSON."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django import template
from django.utils.dateparse import parse_datetime

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
