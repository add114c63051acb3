"""Chat tool `alarms`: what is open, what came when, and what each group's likely cause is."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.utils import timezone

from rag.chat.asked import Asked, Match
from rag.chat.live import show
from rag.chat.live.series import _moment
from rag.chat.tools import ChatTool, ToolRefused, beside, combines

SEVERITIES = ("critical", "high", "medium", "low")
MAX_ALARMS = 200
_WORDS = ("alarm", "alarms", "alert", "alerts", "alarming")
_STATES = {
    "unacknowledged": ("unacknowledged", "not acknowledged", "unacked", "nobody acknowledged",
                       "not been acknowledged", "to acknowledge"),
    "acknowledged": ("acknowledged",),
    "cleared": ("cleared", "closed"),
    "open": ("open", "active", "standing", "current", "currently", "now", "right now", "outstanding",
             "ongoing", "still"),
}  # fmt: skip
_HAPPENED = ("what happened", "what has happened", "anything happen", "what went wrong",
             "did anything happen", "any incidents", "any problems", "anything unusual")  # fmt: skip


def score(asked: Asked) -> Match | None:
    """The word alarm with a state, a severity, a time, a piece of equipment, or a list form."""
    named = asked.says(*_WORDS)
    happened = asked.says(*_HAPPENED) and asked.span is not None
    if not (named or happened) or (asked.is_hypothesis and not asked.also_documents):
        return None
    states = [state for state, words in _STATES.items() if asked.says(*words)]
    severities = [name for name in SEVERITIES if asked.says(name)]
    points = 2.0 + 2.5 * asked.is_about_equipment + 2.0 * bool(states) + 1.0 * bool(severities)
    points += 2.0 * (asked.span is not None) + 1.0 * asked.asks_list
    if asked.mentions.kinds:
        points += 0.5
    combined = asked.wants_documents and asked.is_about_equipment and (
        asked.asks_now or asked.states_reading or asked.says("why")
    )  # fmt: skip
    if asked.wants_documents and not combined:
        points -= 3.0
    if asked.says("level", "setpoint", "message", "called", "named", "code", "raised when"):
        points -= 2.0
    arguments: dict[str, Any] = {
        "assets": asked.mentions.tags,
        "kinds": [] if asked.mentions.assets else list(asked.mentions.kinds),
        "state": states[0] if states else ("any" if asked.span else "open"),
        "severities": severities,
        "note": show.did_you_mean(asked),
    }
    if asked.span is not None:
        arguments |= {"start": asked.span.start.isoformat(), "end": asked.span.end.isoformat(),
                      "label": asked.span.label}  # fmt: skip
    return Match(points, arguments, combined)


def run(_user: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Alarms, worst first, consequences behind their likely cause. Raises ToolRefused."""
    from facilities.selectors import alarms, inventory

    now, known = timezone.now(), inventory()
    for tag in arguments["assets"]:
        if tag not in known.assets:
            raise ToolRefused(f"There is no asset {tag[:80]!r} in the inventory.")
    found = alarms().select_related("root__rule", "root__point")
    if arguments["assets"]:
        tags = arguments["assets"]
        found = found.filter(
            Q(point__asset__tag__in=tags)
            | Q(point__asset__parent__tag__in=tags)
            | Q(point__asset__rack__tag__in=tags)
        )
    if arguments["kinds"]:
        found = found.filter(point__asset__kind__in=arguments["kinds"])
    if arguments["severities"]:
        found = found.filter(severity__in=arguments["severities"])
    state = arguments["state"]
    if state in ("open", "unacknowledged"):
        found = found.filter(cleared_at__isnull=True)
    if state == "unacknowledged":
        found = found.filter(acknowledged_at__isnull=True)
    elif state == "acknowledged":
        found = found.filter(acknowledged_at__isnull=False)
    elif state == "cleared":
        found = found.filter(cleared_at__isnull=False)
    label = ""
    if arguments.get("start"):
        start, end = _moment(arguments["start"]), _moment(arguments["end"])
        found = found.filter(raised_at__gte=start, raised_at__lt=end)
        label = f" raised {arguments.get('label') or 'then'}"
    elif state in ("any", "cleared", "acknowledged"):
        label = " (newest first)"
    order = ("-raised_at", "-id") if label else ("severity_rank", "-raised_at", "-id")
    rows = list(found.order_by(*order)[:MAX_ALARMS])
    return _result(arguments, rows, label, state, now)


def _result(
    arguments: Mapping[str, Any], rows: list[Any], label: str, state: str, now: datetime
) -> dict[str, Any]:
    adjective = "" if state == "any" else f"{state} "
    where = ", ".join(arguments["assets"]) or "/".join(arguments["kinds"])
    whose = f" on {where}" if where else ""
    note = arguments.get("note", "")
    if not rows:
        text = f"There are no {adjective}{'/'.join(arguments['severities'])} alarms{whose}{label}."
        text = " ".join(text.split())
        return show.result(text=f"{text} {note}".strip(), title="Alarms", url="/alarms/", at=now,
                           facts=[text], quality="good", assets=arguments["assets"])  # fmt: skip
    counts = Counter(alarm.severity for alarm in rows)
    by_severity = ", ".join(f"{counts[name]} {name}" for name in SEVERITIES if counts[name])
    groups = Counter(alarm.group for alarm in rows)
    noun = "alarm" if len(rows) == 1 else "alarms"
    text = f"{len(rows)} {adjective}{noun}{whose}{label}: {by_severity}."
    if len(groups) < len(rows):
        text += f" They form {len(groups)} group{'' if len(groups) == 1 else 's'} by likely cause."
    table = show.table(
        ["Severity", "Alarm", "Point", "Value", "Raised", "State", "Likely cause"],
        [_row(alarm, now) for alarm in rows],
    )
    return show.result(
        text=f"{text} {note}".strip(), title="Alarms", url="/alarms/", at=now, table=table,
        facts=[text, *(_fact(alarm, now) for alarm in rows)], quality="good",
        assets=list(dict.fromkeys(alarm.point.asset.tag for alarm in rows))[:6],
    )  # fmt: skip


def _row(alarm: Any, now: datetime) -> list[show.Cell]:
    tone = {"critical": "bad", "high": "warn"}.get(alarm.severity, "")
    severity: show.Cell = {"text": alarm.severity, "tone": tone} if tone else alarm.severity
    value = show.number(alarm.value, alarm.point.unit)
    return [
        severity,
        show.link(alarm.rule.name, alarm.get_absolute_url()),
        show.link(alarm.point.tag, show.point_url(alarm.point.tag)),
        {"text": f"{value}, suspect", "tone": "warn"} if alarm.quality >= 3 else value,
        show.clock(alarm.raised_at, now=now),
        alarm.state.replace("_", ", "),
        _cause(alarm) or "itself",
    ]


def _cause(alarm: Any) -> str:
    root = alarm.root
    return f"{root.rule.name} on {root.point.tag}" if root is not None else ""


def _fact(alarm: Any, now: datetime) -> str:
    cleared = (
        f", cleared {show.clock(alarm.cleared_at, now=now)}"
        if alarm.cleared_at
        else ", still active"
    )
    acknowledged = "" if alarm.acknowledged_at else ", not acknowledged"
    cause = f" Its likely cause is {_cause(alarm)}." if alarm.root is not None else ""
    return (
        f"Alarm on {alarm.point.asset.tag}: {alarm.rule.name}, {alarm.message} ({alarm.severity}, "
        f"{alarm.point.tag} {show.number(alarm.value, alarm.point.unit)}, raised "
        f"{show.clock(alarm.raised_at, now=now)}{cleared}{acknowledged}).{cause}"
    )


_TAGS = {"type": "array", "items": {"type": "string", "maxLength": 141}, "maxItems": 24}
TOOL = ChatTool(
    name="alarms",
    description="Reading the alarms",
    permission="",
    score=score,
    run=run,
    combines=combines,
    beside=beside,
    purpose=(
        "Alarms that are open, unacknowledged, acknowledged or cleared, by equipment and "
        "severity, with the likely cause of each group."
    ),
    schema={
        "type": "object",
        "required": ["assets", "kinds", "state", "severities"],
        "additionalProperties": False,
        "properties": {
            "assets": _TAGS,
            "kinds": _TAGS,
            "state": {"enum": ["open", "unacknowledged", "acknowledged", "cleared", "any"]},
            "severities": {"type": "array", "items": {"enum": list(SEVERITIES)}},
            "start": {"type": "string", "format": "date-time"},
            "end": {"type": "string", "format": "date-time"},
            "label": {"type": "string", "maxLength": 80},
            "note": {"type": "string", "maxLength": 1000},
        },
    },
)
