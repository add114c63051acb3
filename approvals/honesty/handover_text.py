"""A hand-over as Markdown, for the shift book."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.dateparse import parse_datetime

from approvals.models import HandoverNote
from rag.growth.reports import plain

Row = Mapping[str, Any]


def handover_markdown(note: HandoverNote) -> str:
    """The whole note. People's words are quoted, nothing in them is markup."""
    facts = note.facts
    taken = (
        f"Taken over by {note.taken_by.get_username()} at {_time(note.taken_at)}."
        if note.taken_by
        else "Not taken over yet."
    )
    load = facts.get("load", {})
    parts = [
        f"# Hand-over of {note.written_at:%Y-%m-%d %H:%M} UTC",
        f"Written by {note.written_by.get_username()} for the time since {_time(note.since)}. {taken}",
        "## In their words",
        "\n".join(f"> {plain(line)}" for line in note.text.splitlines() if line.strip())
        or "Nothing.",
    ]
    for heading, key, line in _SECTIONS:
        rows = facts.get(key, [])
        parts += [f"## {heading}", "\n".join(f"- {line(row)}" for row in rows) or "None."]
    parts += [
        "## Queue",
        f"{load.get('arrived', 0)} proposals arrived ({load.get('per_hour', 0):g} an hour), "
        f"{load.get('open', 0)} waited at the end. Half waited less than "
        f"{_seconds(load.get('median_wait_s'))}, nine of ten less than "
        f"{_seconds(load.get('p90_wait_s'))}.",
    ]
    return "\n\n".join(parts) + "\n"


def _time(moment: Any) -> str:
    found = parse_datetime(moment) if isinstance(moment, str) else moment
    return f"{found:%Y-%m-%d %H:%M} UTC" if found else "an unknown time"


def _seconds(value: float | None) -> str:
    if value is None:
        return "– (none ended)"
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"


def _proposal(row: Row) -> str:
    return f"#{row['proposal']} {plain(row['title'])}"


def _decided(row: Row) -> str:
    how = ", by breaking the glass" if row["break_glass"] else ""
    verdict = {"approve": "approved", "reject": "rejected"}[row["verdict"]]
    reason = f": “{plain(row['reason'])}”" if row["reason"] else ""
    return f"{_proposal(row)}: {verdict} by {row['by']} at {_time(row['at'])}{how}{reason}"


def _hold(row: Row) -> str:
    ended = f", lifted by {row['lifted_by']}" if row["lifted_by"] else ", still held"
    return f"{_time(row['at'])} by {row['by']}{ended}: {plain(row['reason'])}"


_SECTIONS: list[tuple[str, str, Callable[[Row], str]]] = [
    (
        "Open",
        "open",
        lambda row: (
            f"{_proposal(row)}: {row['state_label'].lower()}, until {_time(row['expires_at'])}"
        ),
    ),
    (
        "Not as promised, or undone",
        "went_wrong",
        lambda row: (
            f"{_proposal(row)}: {row['became'].replace('_', ' ')} at {_time(row['at'])}. "
            + plain(row["note"])
        ),
    ),
    ("Decided", "decided", _decided),
    (
        "Executed",
        "executed",
        lambda row: (
            f"{_proposal(row)}: {row['outcome']} at {_time(row['at'])}. {plain(row['detail'])}"
        ),
    ),
    ("Stops of the whole gate", "holds", _hold),
    (
        "Emergency approvals to be reviewed",
        "break_glass",
        lambda row: (
            f"{_proposal(row)} by {row['by']}, due {_time(row['due_at'])}"
            + (" (overdue)" if row["overdue"] else "")
        ),
    ),
    (
        "Windows in the next 24 hours",
        "windows",
        lambda row: (
            f"{row['kind']} “{plain(row['name'])}”, {_time(row['start'])} to "
            f"{_time(row['end'])}: {row['covers']}. {plain(row['reason'])}"
        ),
    ),
]
