"""What the twin expects of an action, beside doing nothing: stored and signed with the proposal.

A prediction never blocks: where the twin fails or is not fit, it says so and the proposal goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from approvals.catalogue import KINDS, Action
from approvals.catalogue.situation import Situation

log = logging.getLogger(__name__)

LEAST_HORIZON_S: Final = 900.0
"""Long enough for room air to settle after a unit starts (demo plant: 2 to 5 min)."""
MOMENTS: Final = 31
LIKELY: Final = 0.5
MARGIN_K: Final = 2.0
"""An action is fully worth it when it brings the point this far below its limit (assumed)."""


class Expected(NamedTuple):
    """A predicted value with its band."""

    low: float
    middle: float
    high: float


def predictions_make(*, actions: Sequence[Action], situation: Situation) -> list[dict[str, Any]]:
    """One prediction per action, all from one run of the twin. Never raises."""
    if not actions:
        return []
    try:
        return _predicted(actions, situation)
    except Exception as error:
        log.warning("no prediction for %s: %s", [a.kind for a in actions], error, exc_info=True)
        text = f"The twin gave no prediction: {error}"[:300]
        return [{"problem": text} for _ in actions]


def _predicted(actions: Sequence[Action], situation: Situation) -> list[dict[str, Any]]:
    """Those that the twin has drives for, all from one run; the others say what it lacks."""
    from facilities.whatif.predict import Candidate, predict

    effects = [KINDS[action.kind].effect(action, situation) for action in actions]
    problems = [
        _not_modelled(action, effect.tag, situation)
        for action, effect in zip(actions, effects, strict=True)
    ]
    asked = [k for k, problem in enumerate(problems) if not problem]
    made: list[dict[str, Any]] = [{"problem": problem} for problem in problems]
    if not asked:
        return made
    answer = predict(
        [
            Candidate(
                KINDS[actions[k].kind].sentence(actions[k], situation.name(actions[k].target)),
                {w.tag: w.value for w in KINDS[actions[k].kind].writes(actions[k], situation)},
            )
            for k in asked
        ],
        tags=[effects[k].tag for k in asked],
        duration_s=max(LEAST_HORIZON_S, 2 * situation.window_s),
    )
    for number, k in enumerate(asked, start=1):
        made[k] = _one(answer, number, effects[k].tag, effects[k].window_s)
    return made


def _not_modelled(action: Action, tag: str, situation: Situation) -> str:
    """Why the twin has nothing to say of an action; "" where it can be asked."""
    from facilities.twin.drive import DRIVES

    writes = KINDS[action.kind].writes(action, situation)
    for write in writes:
        asset, _, quantity = write.tag.rpartition(".")
        if write.body is not None or (situation.kind_of(asset), quantity) not in DRIVES:
            return f"The twin does not model this: it has no drive for {write.tag}."
    if not writes:
        return "Nothing is written, so there is nothing to predict."
    return "" if tag else "The twin does not model this: no point tells of the effect."


def _one(answer: Mapping[str, Any], number: int, tag: str, window_s: float) -> dict[str, Any]:
    series = next((one for one in answer["series"] if one["name"] == tag), None)
    if series is None:
        return {"problem": f"The twin does not compute {tag}."}
    if any(value is None for line in series["options"] for value in line["p50"]):
        return {"problem": f"The twin has no value for {tag} all the time."}
    keep = np.unique(np.linspace(0, len(answer["times_s"]) - 1, MOMENTS).round().astype(int))
    lines = {
        name: {
            band: [series["options"][option][band][k] for k in keep]
            for band in ("p10", "p50", "p90")
        }
        for name, option in (("nothing", 0), ("acting", number))
    }
    energy = answer["energy"]["options"][number]
    made: dict[str, Any] = {
        "model": answer["model"],
        "at": answer["at"],
        "fit": {"verdict": answer["fit"]["verdict"], "text": answer["fit"]["text"]},
        "tag": tag,
        "unit": series["unit"],
        "draws": answer["draws"],
        "horizon_s": answer["duration_s"],
        "window_s": window_s,
        "times_s": [answer["times_s"][k] for k in keep],
        **lines,
        "avoided": _changed(answer, 0, number),
        "added": _changed(answer, number, 0),
        "energy_kwh": (energy.get("facility_more_kwh") or {}).get("p50"),
        "cost": (energy.get("more_cost") or {}).get("p50"),
        "currency": (answer["energy"]["price"] or {}).get("currency", ""),
        "problem": "",
    }
    made["sentence"] = _sentence(made)
    return made


def _changed(answer: Mapping[str, Any], there: int, not_here: int) -> list[dict[str, Any]]:
    """New alarms that are likely in one course of events and not in the other, soonest first."""
    found = [
        {
            "rule": row["rule"],
            "point": row["point"],
            "severity": row["severity"],
            "at_s": row["options"][there]["first_s"],
        }
        for row in answer["alarms"]
        if not row["active_now"]
        and row["options"][there]["probability"] >= LIKELY
        and row["options"][not_here]["probability"] < LIKELY
    ]
    return sorted(found, key=lambda row: (row["at_s"], row["point"]))[:10]


def _sentence(made: Mapping[str, Any]) -> str:
    unit = "°C" if made["unit"] == "Cel" else made["unit"]
    acting, idle = (_end(made[name]) for name in ("acting", "nothing"))
    minutes = made["horizon_s"] / 60
    parts = [
        f"In {minutes:.0f} min {made['tag']} is at {acting.middle:.1f} {unit} "
        f"({acting.low:.1f} to {acting.high:.1f}) with this, and at {idle.middle:.1f} {unit} "
        f"({idle.low:.1f} to {idle.high:.1f}) without"
    ]
    if made["avoided"]:
        parts.append(f"it avoids {_counted(made['avoided'])}")
    if made["added"]:
        parts.append(f"it raises {_counted(made['added'])}")
    energy = made["energy_kwh"]
    if energy is not None and abs(energy) >= 0.05:
        parts.append(f"{abs(energy):.1f} kWh {'more' if energy > 0 else 'less'}")
    return f"{'; '.join(parts)}."


def _counted(rows: Sequence[Mapping[str, Any]]) -> str:
    first = _named(rows[0])
    return f"{len(rows)} alarms, first {first}" if len(rows) > 1 else f"the alarm {first}"


def _named(row: Mapping[str, Any]) -> str:
    return f"{row['rule']} on {row['point'].rpartition('.')[0]} after {row['at_s'] / 60:.0f} min"


def _end(line: Mapping[str, Any]) -> Expected:
    return Expected(line["p10"][-1], line["p50"][-1], line["p90"][-1])


def usable(prediction: Mapping[str, Any] | None) -> bool:
    """Whether a prediction may weigh in a ranking: made, by a twin that is fit."""
    return bool(prediction and not prediction["problem"] and prediction["fit"]["verdict"] == "fit")


def predicted_fit(
    prediction: Mapping[str, Any] | None, *, threshold: float, direction: str
) -> float | None:
    """How much of what threatens the action takes away: 0…1, None where nothing can be said.

    1: the worst of the predicted medians ends ``MARGIN_K`` on the good side of the threshold.
    """
    if prediction is None or not usable(prediction):
        return None
    sign = 1.0 if direction == "below" else -1.0
    worst = {
        name: max(
            sign * value for value in prediction[name]["p50"][len(prediction["times_s"]) // 3 :]
        )
        for name in ("nothing", "acting")
    }
    threat = worst["nothing"] - (sign * threshold - MARGIN_K)
    if threat <= 0:
        return None
    return float(np.clip((worst["nothing"] - worst["acting"]) / threat, 0.0, 1.0))


def expected_at(prediction: Mapping[str, Any], seconds: float) -> Expected | None:
    """What was predicted for ``seconds`` after acting; None without a prediction of that time."""
    if not prediction or prediction["problem"] or seconds > prediction["horizon_s"]:
        return None
    line, times = prediction["acting"], prediction["times_s"]
    return Expected(
        *(float(np.interp(seconds, times, line[name])) for name in ("p10", "p50", "p90"))
    )


def compared(prediction: Mapping[str, Any], *, tag: str, after: float, seconds: float) -> str:
    """What the measured value says about the prediction, as a clause; "" where there is none."""
    found = expected_at(prediction, seconds) if prediction.get("tag") == tag else None
    if found is None:
        return ""
    if after < found.low:
        where = f"{found.low - after:.2g} below its band"
    elif after > found.high:
        where = f"{after - found.high:.2g} above its band"
    else:
        where = "within its band"
    return (
        f"the twin predicted {found.middle:.1f} ({found.low:.1f} to {found.high:.1f}), "
        f"measured {after:g} is {where}"
    )
