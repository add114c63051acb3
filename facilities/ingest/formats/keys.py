"""Series keys: one text for a metric name and its labels, and back.

``crac_supply_c{unit="1"}``: labels sorted, values escaped as in Prometheus' text format. Names that
are not plain (OTLP and line protocol allow any text) are quoted inside the braces, as Prometheus 3
does: ``{"room temp","rack row"="7"}``. Different series have different keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

PLAIN_NAME: Final = re.compile(r"[A-Za-z_:][A-Za-z0-9_:.\-/]*")
"""Prometheus' metric names, and the dots, dashes and slashes of OTLP and BMS names."""

PLAIN_LABEL: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-/]*")

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
_NEEDS_ESCAPE = re.compile(r'[\\"\n]')
_TOKEN = re.compile(
    r'(?:(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<plain>[A-Za-z_][A-Za-z0-9_.\-/]*))'
    r'(?:=(?P<value>"(?:[^"\\]|\\.)*"))?(?P<end>,|\}$)',
    re.DOTALL,
)
_UNESCAPE = re.compile(r"\\(.)", re.DOTALL)


def series_key(name: str, labels: Iterable[tuple[str, str]]) -> str:
    """The key of a series. Labels with an empty value are left out, as Prometheus does."""
    parts = [
        f'{label if PLAIN_LABEL.fullmatch(label) else _quote(label)}="{_escape(value)}"'
        for label, value in sorted(labels)
        if value
    ]
    if PLAIN_NAME.fullmatch(name):
        return f"{name}{{{','.join(parts)}}}" if parts else name
    return f"{{{','.join([_quote(name), *parts])}}}"


def split_key(key: str) -> tuple[str, dict[str, str]]:
    """The name and labels of a series key; a text that is no key is a name without labels."""
    brace = key.find("{")
    if brace < 0 or not key.endswith("}"):
        return key, {}
    name, labels, at = key[:brace], {}, brace + 1
    while at < len(key):
        token = _TOKEN.match(key, at)
        if token is None:
            return key, {}
        label = token["plain"] if token["quoted"] is None else _unquote(token["quoted"])
        if token["value"] is not None:
            labels[label] = _unquote(token["value"])
        elif not name and token["quoted"] is not None:
            name = label
        else:
            return key, {}
        at = token.end()
    return name, labels


def _escape(text: str) -> str:
    return text.translate(_ESCAPES) if _NEEDS_ESCAPE.search(text) else text


def _quote(text: str) -> str:
    return f'"{_escape(text)}"'


def _unquote(quoted: str) -> str:
    inner = quoted[1:-1]
    if "\\" not in inner:
        return inner
    return _UNESCAPE.sub(lambda m: "\n" if m[1] == "n" else m[1], inner)
