"""What a converter would make of the last messages, before anybody saves it. Changes nothing."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from facilities.converters import counters
from facilities.converters.document import read_document
from facilities.converters.keys import parse_key
from facilities.converters.maps import rules_of
from facilities.converters.resolution import Kind, Resolution, Target
from facilities.converters.suggest import identity
from facilities.ingest.points import point_table
from facilities.ingest.samples import Samples
from facilities.models import Source, SourceMessage, SourceSeries

MAX_LINES: Final = 300


class PreviewLine(NamedTuple):
    """One series: what came, which rule took it, what it becomes.

    ``result`` is ``point``, ``dropped``, ``new`` (would be registered) or ``quarantine``.
    """

    series: str
    given: str
    result: str
    point: str
    unit: str
    value: float | None
    rule: str
    problem: str


class Preview(NamedTuple):
    """The lines, and how many messages and series they come from."""

    lines: list[PreviewLine]
    messages: int
    series: int
    counts: dict[str, int]


def samples_of_message(message: SourceMessage) -> Samples:
    """The kept samples of a message, as its decoder made them."""
    names: dict[str, int] = {}
    rows = message.samples
    return Samples(
        names=names_list(names, rows),
        series=np.array([names[row[0]] for row in rows], np.int32),
        ts_us=np.array([row[1] for row in rows], np.int64),
        value=np.array([np.nan if row[2] is None else row[2] for row in rows], np.float64),
        index=np.arange(len(rows), dtype=np.int32),
        hints=dict(message.hints),
        text={at: row[3] for at, row in enumerate(rows) if row[3] is not None},
    )


def names_list(names: dict[str, int], rows: list[list[Any]]) -> list[str]:
    """Number the distinct series of ``rows`` into ``names``; return them in order."""
    for row in rows:
        names.setdefault(row[0], len(names))
    return list(names)


def preview(*, source: Source, document: str) -> Preview:
    """Try a document on the source's last messages. Raises ``DocumentError``."""
    rules = rules_of(read_document(document))
    columns = point_table(None)
    pairs = list(SourceSeries.objects.filter(source=source).values_list("key", "point_id"))
    rows = columns.rows_of(np.array([point for _, point in pairs], np.int64)).tolist()
    series = {key: row for (key, _), row in zip(pairs, rows, strict=True) if row >= 0}
    resolution = Resolution(columns, rules, series)
    lines: dict[str, PreviewLine] = {}
    history: dict[str, list[counters.Step]] = {}
    messages = list(SourceMessage.objects.filter(source=source).order_by("at", "id"))
    for message in messages:
        for key, ts_us, value, text in message.samples:
            target = resolution.target(key, message.hints.get(key, ""))
            made, problem = _value(resolution, target, key, ts_us, value, text, history)
            lines[key] = _line(source, resolution, key, target, value, text, made, problem)
    shown = sorted(lines.values(), key=lambda line: (_ORDER[line.result], line.series))
    counts = dict.fromkeys(_ORDER, 0)
    for line in shown:
        counts[line.result] += 1
    return Preview(shown[:MAX_LINES], len(messages), len(shown), counts)


_ORDER: Final = {"quarantine": 0, "new": 1, "point": 2, "dropped": 3}


def _value(
    resolution: Resolution,
    target: Target,
    key: str,
    ts_us: int,
    value: float | None,
    text: str | None,
    history: dict[str, list[counters.Step]],
) -> tuple[float | None, str]:
    rule = target.rule
    if target.kind in (Kind.UNKNOWN, Kind.DROPPED):
        return None, target.detail
    if rule is not None and rule.values is not None:
        said = text if text is not None else f"{value:g}" if value is not None else "NaN"
        found = rule.values.get(said, rule.values.get(said.strip().lower(), rule.other))
        return found, "" if found is not None else f"{said[:60]!r} is not among its values"
    if text is not None:
        found = resolution.names_of_values(target.row).get(text.strip().lower())
        return found, "" if found is not None else f"{text[:60]!r} is no number; map it with values"
    if value is None:
        return None, "not a number (NaN)"
    if target.kind == Kind.COUNTER:
        step = (ts_us, value)
        rate = counters.rate_at(history.get(key, []), step, rule.wraps_at if rule else None)
        history[key] = counters.remember(history.get(key, []), step)
        if rate is None:
            return None, "first count; the next message gives a rate"
        return rate * target.linear.scale + target.linear.offset, ""
    return value * target.linear.scale + target.linear.offset, ""


def _line(
    source: Source,
    resolution: Resolution,
    key: str,
    target: Target,
    value: float | None,
    text: str | None,
    made: float | None,
    problem: str,
) -> PreviewLine:
    given = text if text is not None else "NaN" if value is None else f"{value:g}"
    result, point = "point", target.tag
    unit = resolution.columns.units[target.row] if target.row >= 0 else ""
    if target.kind == Kind.DROPPED:
        result = "dropped"
    elif target.kind == Kind.UNKNOWN:
        result = "quarantine"
        if source.auto_register and target.code == "unknown_point" and value is not None:
            result, problem = "new", ""
            if not point:
                where = identity(parse_key(key))
                point = f"{where.asset or 'source'}.{where.quantity}"
    elif problem and target.kind != Kind.COUNTER:
        result = "quarantine"
    rule = str(target.rule) if target.rule is not None else ""
    return PreviewLine(key, given[:60], result, point, unit, made, rule, problem)
