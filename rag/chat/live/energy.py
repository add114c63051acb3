"""Chat tool `energy`: PUE and its relatives, now or over a time, with what they are made of."""

from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from rag.chat.asked import Asked, Match
from rag.chat.live import show
from rag.chat.live.series import _moment
from rag.chat.tools import ChatTool, ToolRefused, beside, combines

RATIOS = {
    "pue": ("PUE", ("pue", "power usage effectiveness")),
    "wue": ("WUE", ("wue", "water usage effectiveness")),
    "cue": ("CUE", ("cue", "carbon usage effectiveness")),
    "ref": ("REF", ("renewable energy factor",)),
}
_USE = ("energy use", "energy consumption", "energy did", "kwh", "electricity", "how much energy",
        "energy used", "energy cost", "energy costs", "electricity cost", "power bill")  # fmt: skip


def score(asked: Asked) -> Match | None:
    """A ratio or the energy itself, asked for now or for a time."""
    named = [key for key, (_, words) in RATIOS.items() if asked.says(*words)]
    use = asked.says(*_USE)
    if not named and not use:
        return None
    if asked.is_about_equipment and not all(a.kind == "hall" for a in asked.mentions.assets):
        return None
    if asked.is_hypothesis:
        return None
    points = 2.0 + 2.0 * (asked.span is not None or asked.asks_now)
    points += 2.0 * asked.says("what is our", "what is the", "what's the", "what's our", "how much",
                               "how high", "show", "what was", "how is", "how good")  # fmt: skip
    if asked.wants_documents or asked.says("formula", "calculated", "calculate", "what is pue"):
        points -= 3.0
    if asked.mentions.unknown:
        points -= 1.0
    arguments: dict[str, Any] = {"ratios": named or ["pue"]}
    if asked.span is not None:
        arguments |= {"start": asked.span.start.isoformat(), "end": asked.span.end.isoformat(),
                      "label": asked.span.label}  # fmt: skip
    elif use and not named:
        day = asked.at.replace(hour=0, minute=0, second=0, microsecond=0)
        arguments |= {"start": day.isoformat(), "end": asked.at.isoformat(), "label": "today (UTC)"}
    return Match(points, arguments)


def run(_user: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The ratios and end uses. Raises ToolRefused."""
    if arguments.get("start"):
        return _over(arguments)
    from facilities.energy.now import energy_now

    now = timezone.now()
    found = energy_now(now=now)
    if found.at is None:
        text = "No meter has reported within the last 5 minutes, so there is no PUE for now."
        return show.result(text=text, title="Energy", url="/energy/", at=now, quality="missing")
    said = [_ratio(key, found.ratios) for key in arguments["ratios"]]
    facts = [
        f"{sentence} now, from readings at {show.clock(found.at, now=now)}." for sentence in said
    ]
    notes = [f"{len(found.stale)} meters are silent or too old."] if found.stale else []
    table = show.table(["End use", "Power", "Share", "Basis"], _uses(found.ratios, "W"))
    return show.result(
        text=" ".join(facts), title="Energy now", url="/energy/", at=found.at, table=table, facts=facts,
        quality="good" if not found.stale else "incomplete", notes=[*notes, *found.issues][:3],
    )  # fmt: skip


def _over(arguments: Mapping[str, Any]) -> dict[str, Any]:
    from facilities.energy.report import PeriodError, energy_report

    start, end, now = _moment(arguments["start"]), _moment(arguments["end"]), timezone.now()
    try:
        found = energy_report(start=start, end=end, step_s=_step(start, end), now=now)
    except PeriodError as error:
        raise ToolRefused(f"This cannot be worked out: {error}.") from error
    label = str(arguments.get("label") or "then")
    whole = found.whole
    covered = whole.pue.coverage
    if whole.pue.value is None and not whole.total_wh:
        text = f"The meters recorded nothing {label}."
        return show.result(text=text, title="Energy", url="/energy/", at=now, quality="missing")
    said = [_ratio(key, whole) for key in arguments["ratios"]]
    facts = [f"{sentence} ({label})." for sentence in said]
    if whole.total_wh:
        facts.append(f"The site took {whole.total_wh / 1000:.4g} kWh ({label}), IT "
                     f"{whole.it_wh / 1000:.4g} kWh, which cost {whole.cost:.2f} {whole.currency}.")  # fmt: skip
    notes = list(found.issues)[:3]
    if covered < 0.99:
        notes.insert(0, f"Meters cover {100 * covered:.0f} % of this time.")
    points = [
        [step.start.timestamp(), step.ratios.pue.value, 1]
        for step in found.steps
        if step.ratios.pue.value is not None
    ]
    chart = {"series": [{"label": "PUE", "unit": "", "points": points}] if len(points) > 1 else [],
             "from": start.timestamp(), "to": end.timestamp()}  # fmt: skip
    span = f"{show.clock(start, now=now)} to {show.clock(end, now=now)}"
    return show.result(
        text=" ".join(facts), title=f"Energy, {label}", url="/energy/", at=now, facts=facts, chart=chart,
        table=show.table(["End use", "Energy", "Share", "Basis"], _uses(whole, "kWh"), span),
        quality="good" if covered >= 0.99 else f"{100 * covered:.0f} % covered", notes=notes,
    )  # fmt: skip


def _step(start: Any, end: Any) -> float:
    """About 48 steps of whole minutes."""
    minutes = (end - start).total_seconds() / 60.0 / 48.0
    return 60.0 * max(1, round(minutes)) if minutes < 60 else 3600.0 * max(1, round(minutes / 60))


def _ratio(key: str, ratios: Any) -> str:
    name = RATIOS[key][0]
    ratio = {
        "pue": ratios.pue,
        "wue": ratios.wue_l_kwh,
        "cue": ratios.cue_kg_kwh,
        "ref": ratios.ref,
    }[key]
    unit = {"wue": " L/kWh", "cue": " kg/kWh"}.get(key, "")
    if ratio.value is None:
        return f"{name} is not known (its meters say nothing)"
    category = f" (category {ratios.category})" if key == "pue" and ratios.category else ""
    return f"{name}{category} is {ratio.value:.3f}{unit}"


def _uses(ratios: Any, unit: str) -> list[list[show.Cell]]:
    rows: list[list[show.Cell]] = []
    for use in ratios.uses:
        if not use.energy_wh:
            continue
        amount = (
            show.number(use.energy_wh, "W") if unit == "W" else f"{use.energy_wh / 1000:.4g} kWh"
        )
        share = "–" if use.share is None else f"{100 * use.share:.1f} %"
        rows.append([use.label, amount, share, use.basis])
    return rows


TOOL = ChatTool(
    name="energy",
    description="Reading the meters",
    permission="",
    score=score,
    run=run,
    combines=combines,
    beside=beside,
    purpose=("PUE, WUE, CUE and REF of the facility, its energy use and cost."),
    schema={
        "type": "object",
        "required": ["ratios"],
        "additionalProperties": False,
        "properties": {
            "ratios": {
                "type": "array",
                "items": {"enum": list(RATIOS)},
                "minItems": 1,
                "maxItems": 4,
            },
            "start": {"type": "string", "format": "date-time"},
            "end": {"type": "string", "format": "date-time"},
            "label": {"type": "string", "maxLength": 80},
        },
    },
)
