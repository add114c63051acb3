"""Chat tool `twin`: how well the twin follows the plant, and what it predicts for a fault."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone

from rag.chat.asked import Asked, Match
from rag.chat.live import show
from rag.chat.tools import ChatTool, ToolRefused, beside, combines
from rag.chat.when import duration_of

DEFAULT_S, LONGEST_S = 1_800.0, 4 * 3_600.0
BUDGET_S = 8.0

#: Fault of each kind of equipment that fails as a whole; the catalogue's names.
FAULTS = {
    "crac": "crac_trip", "cdu": "cdu_trip", "chiller": "chiller_trip", "pump": "pump_trip",
    "tower": "tower_trip", "utility": "feed_lost", "ups": "ups_fails", "pdu": "pdu_fails",
    "generator": "generator_fails", "gpu": "gpu_lost", "link": "link_down",
    "server": "server_brake",
}  # fmt: skip
_STOPS = {"crac": "crac_stop", "cdu": "cdu_stop", "chiller": "chiller_stop", "pump": "pump_stop",
          "tower": "tower_stop"}  # fmt: skip
_STARTS = {
    "crac": "crac_start",
    "cdu": "cdu_start",
    "chiller": "chiller_start",
    "pump": "pump_start",
}
_FAILS = re.compile(
    r"\b(?:fails?|failed|failing|failure of|trips?|tripped|dies|is lost|goes (?:down|off|out)|breaks?(?: down)?"
    r"|loses?|lost|outage|loss of|drops out|falls off)\b",
    re.IGNORECASE,
)
_STOP = re.compile(
    r"\b(?:stop(?:s|ped)?|switch(?:ed)? off|turn(?:ed)? off|shut (?:down|off))\b", re.IGNORECASE
)
_START = re.compile(r"\b(?:start(?:s|ed)?|switch(?:ed)? on|turn(?:ed)? on)\b", re.IGNORECASE)
_ASKS = re.compile(
    r"\bwhat if\b|\bwhat (?:happens|would happen|will happen|happen)\b|\bpredict\w*|\bsimulat\w*"
    r"|\bhow (?:long|hot|much time|soon|quickly|fast)\b.*\b(?:if|when|until|till|before|without)\b"
    r"|\bforecast\b|\bwhat does the twin (?:say|predict)\b",
    re.IGNORECASE,
)
_NOTHING = re.compile(
    r"\bdo(?:ing)? nothing\b|\bnobody (?:acts|does)\b|\bno action\b", re.IGNORECASE
)
_TWIN = ("twin", "digital twin")
_STATE = ("follow", "follows", "following", "accurate", "accuracy", "state", "status", "fit",
          "trust", "residual", "residuals", "how good", "how well", "findings", "healthy")  # fmt: skip


def score(asked: Asked) -> Match | None:
    """An event of a named asset in a what-if form, or a question about the twin itself."""
    if asked.says(*_TWIN) and asked.says(*_STATE) and not asked.is_about_equipment:
        points = 4.5 - (3.0 if asked.says("what is a", "explain", "how does") else 0.0)
        return Match(points, {"what": "state"})
    asks = bool(_ASKS.search(asked.text))
    if asks and _NOTHING.search(asked.text) and not asked.is_about_equipment:
        arguments = {"what": "whatif", "changes": [], "duration_s": _duration(asked)}
        return Match(4.5, arguments)
    changes = _changes(asked)
    if not changes or not asks:
        return None
    arguments = {"what": "whatif", "changes": changes, "duration_s": _duration(asked),
                 "note": show.did_you_mean(asked)}  # fmt: skip
    combined = asked.says(
        "what happens", "procedure", "sop", "eop", "mop", "what do i do", "what should"
    )
    return Match(5.5, arguments, combined)


def _changes(asked: Asked) -> list[dict[str, str]]:
    table = None
    if _FAILS.search(asked.text):
        table = FAULTS
    elif _STOP.search(asked.text):
        table = _STOPS
    elif _START.search(asked.text):
        table = _STARTS
    if table is None:
        return []
    named = list(asked.mentions.assets)
    if not named:
        named = [
            known[0]
            for kind in asked.mentions.kinds
            if len(known := asked.inventory.of_kind(kind)) == 1
        ]
    return [{"asset": a.tag, "what": table[a.kind]} for a in named[:4] if a.kind in table]


def _duration(asked: Asked) -> float:
    return min(max(duration_of(asked.text) or DEFAULT_S, 60.0), LONGEST_S)


def run(_user: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The twin's state, or its prediction. Raises ToolRefused."""
    return _state() if arguments["what"] == "state" else _whatif(arguments)


def _state() -> dict[str, Any]:
    from facilities.tracking.reads import findings, status

    now, found = timezone.now(), status()
    if found.row.at is None:
        text = "The twin has not followed the plant yet."
        return show.result(
            text=text, title="Twin", url="/twin/", at=now, facts=[text], quality="missing"
        )
    fits = found.fitness()
    passed = sum(bool(fit.get("passed")) for fit in fits)
    old = show.age(found.age_s or 0.0)
    follows = "follows the plant" if found.following else "does not follow the plant now"
    text = f"The twin {follows}; its state is {old} old."
    if fits:
        text += f" {passed} of {len(fits)} quantities are within ASHRAE Guideline 14."
    wearing = list(findings()[:5])
    facts = [text, *(f"{item.asset.tag}: {item.text}" for item in wearing)]
    if wearing:
        text += (
            f" It has found {len(wearing)} thing{'' if len(wearing) == 1 else 's'} that wear out."
        )
    rows: list[list[show.Cell]] = []
    for fit in fits:
        cv, bias = fit.get("cv_rmse_pct"), fit.get("nmbe_pct")
        verdict: show.Cell = "within" if fit.get("passed") else {"text": "outside", "tone": "warn"}
        rows.append([
            str(fit["quantity"]),
            "–" if fit.get("rmse") is None else f"{fit['rmse']:.3g} {show.unit_of(str(fit.get('unit', '')))}",
            "–" if cv is None else f"{cv:.2g} %",
            "–" if bias is None else f"{bias:.2g} %",
            verdict,
        ])  # fmt: skip
    return show.result(
        text=text, title="Twin", url="/twin/", at=found.row.at, facts=facts,
        table=show.table(["Quantity", "RMSE", "CV(RMSE)", "NMBE", "Guideline 14"], rows),
        quality="good" if found.following else "stale",
    )  # fmt: skip


def _whatif(arguments: Mapping[str, Any]) -> dict[str, Any]:
    from facilities.tracking.live import current
    from facilities.twin.site import SiteError
    from facilities.whatif.ask import TooLongError, question_for, whatif_ask
    from facilities.whatif.limits import data_list
    from facilities.whatif.question import QuestionError

    asked = {"changes": [dict(change) for change in arguments["changes"]],
             "duration_s": arguments["duration_s"]}  # fmt: skip
    try:
        live = current()
        question = question_for(asked, live, data_list())
        answer = whatif_ask(question, live=live, budget_s=BUDGET_S)
    except (QuestionError, SiteError, TooLongError) as error:
        raise ToolRefused(f"The twin cannot answer this: {error}") from error
    return _prediction(arguments, answer)


def _prediction(arguments: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    at = datetime.fromisoformat(answer["at"])
    minutes = arguments["duration_s"] / 60.0
    fit = answer["fit"]
    last = len(answer["options"]) - 1
    title = answer["options"][last]["title"] if arguments["changes"] else "Do nothing"
    said = [str(sentence) for sentence in answer["summary"]] if arguments["changes"] else []
    rows: list[list[show.Cell]] = []
    for one in answer["series"][:8]:
        unit, idle, acted = one["unit"], one["options"][0], one["options"][last]
        rows.append([
            one["title"], _value(idle["p50"][0], unit), _value(idle["end"], unit),
            _band(acted, unit), _value(acted["peak"], unit),
        ])  # fmt: skip
    if not arguments["changes"] and answer["series"]:
        one = answer["series"][0]
        said = [f"Doing nothing, {one['title'].lower()} goes from "
                f"{_value(one['options'][0]['p50'][0], one['unit'])} to "
                f"{_value(one['options'][0]['end'], one['unit'])}."]  # fmt: skip
    first = answer["first"][last]
    if first is not None:
        said.append(f"The first alarm to expect is {first['rule']} on {first['point']} after "
                    f"{show.age(first['at_s'])} ({first['severity']}).")  # fmt: skip
    text = f"Prediction for {minutes:g} min: " + " ".join(said)
    if fit["verdict"] != "fit":
        text += f" {fit['text']}"
    begin = at.timestamp()
    chart = {"series": [], "from": begin, "to": begin + arguments["duration_s"]}
    if answer["series"]:
        one = answer["series"][0]
        lines = (
            [(last, one["title"]), (0, "doing nothing")]
            if arguments["changes"]
            else [(0, one["title"])]
        )
        chart["series"] = [_line(one, answer["times_s"], begin, n, name) for n, name in lines]
    return show.result(
        text=f"{text} {arguments.get('note', '')}".strip(), title=f"What if {title}", url="/whatif/", at=at,
        table=show.table(
            ["Quantity", "Now", f"In {minutes:g} min, doing nothing", f"In {minutes:g} min", "Peak"],
            rows, "Medians; in brackets the 10th to 90th percentile. A prediction, not a reading."),
        chart=chart, quality=f"prediction, twin {fit['verdict']}", is_prediction=True,
        facts=[f"Prediction of the twin: {sentence}" for sentence in said],
        assets=[change["asset"] for change in arguments["changes"]],
        notes=[str(note) for note in answer["notes"]][:3],
    )  # fmt: skip


def _line(
    one: Mapping[str, Any], times_s: list[float], begin: float, number: int, name: str
) -> dict[str, Any]:
    """A predicted course: medians as points, and the 10th and 90th percentile beside each."""
    option = one["options"][number]
    return {
        "label": name,
        "unit": show.unit_of(one["unit"]),
        "points": [
            [round(begin + t, 1), value, 1] for t, value in zip(times_s, option["p50"], strict=True)
        ],
        "band": [list(pair) for pair in zip(option["p10"], option["p90"], strict=True)],
    }


def _value(value: float | None, unit: str) -> str:
    return "–" if value is None else show.number(value, unit)


def _band(option: Mapping[str, Any], unit: str) -> str:
    low, high = option["p10"][-1], option["p90"][-1]
    end = _value(option["end"], unit)
    return (
        end
        if low is None or high is None
        else f"{end} [{_value(low, unit)} to {_value(high, unit)}]"
    )


TOOL = ChatTool(
    name="twin",
    description="Asking the twin",
    permission="",
    score=score,
    run=run,
    combines=combines,
    beside=beside,
    purpose=(
        "How well the digital twin follows the plant (state), and its prediction of a fault, "
        "a stop or a start (whatif)."
    ),
    schema={
        "type": "object",
        "required": ["what"],
        "additionalProperties": False,
        "properties": {
            "what": {"enum": ["state", "whatif"]},
            "changes": {
                "type": "array",
                "maxItems": 4,
                "items": {
                    "type": "object",
                    "required": ["asset", "what"],
                    "additionalProperties": False,
                    "properties": {
                        "asset": {"type": "string", "maxLength": 80},
                        "what": {
                            "enum": sorted({*FAULTS.values(), *_STOPS.values(), *_STARTS.values()})
                        },
                    },
                },
            },
            "duration_s": {"type": "number", "minimum": 60, "maximum": LONGEST_S},
            "note": {"type": "string", "maxLength": 1000},
        },
    },
)
