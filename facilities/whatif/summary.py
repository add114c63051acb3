"""The answer in a few sentences, as one would say it to the person who has to decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .question import spoken

SHOWN_KWH: Final = 0.05
SHOWN_SLOWER_PCT: Final = 1.0
SHOWN_GPU_H: Final = 0.05
HOTTEST: Final = "max(rack.inlet_c)"


def sentences(answer: Mapping[str, Any]) -> list[str]:
    """What matters, most important first: temperature, alarms, energy, jobs. Never empty."""
    options = answer["options"]
    if len(options) < 2:
        return ["Nothing was asked."]
    found = [
        *_temperature(answer),
        *_alarms(answer),
        *_energy(answer),
        *_jobs(answer),
    ]
    return found or ["Nothing that the twin computes changes."]


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "no value"
    shown = {"Cel": f"{value:.1f} °C", "W": f"{value / 1000:.1f} kW"}.get(unit)
    return shown or f"{value:.3g} {'' if unit == '1' else unit}".strip()


def _temperature(answer: Mapping[str, Any]) -> list[str]:
    series = next((s for s in answer["series"] if s["name"] == HOTTEST), None)
    if series is None:
        return []
    nothing, acting = series["options"][0], series["options"][1]
    limits = sorted(level["level"] for level in series["levels"] if level["comparator"] == "above")
    title = answer["options"][1]["title"]
    where = f" ({series['worst'][1]})" if len(series["worst"]) > 1 and series["worst"][1] else ""
    acted = _course(acting, limits, answer["times_s"])
    idle = _course(nothing, limits, answer["times_s"])
    return [f"If {title}, the hottest rack inlet{where} {acted}; doing nothing it {idle}."]


def _course(line: Mapping[str, Any], limits: list[float], times_s: list[float]) -> str:
    """Either the highest limit passed and when, or where it stays; with the band."""
    median = [value if value is not None else float("-inf") for value in line["p50"]]
    top = max(range(len(median)), key=median.__getitem__)
    around = (
        f"[{line['p10'][top]:.1f} to {line['p90'][top]:.1f}]"
        if line["p10"][top] is not None
        else ""
    )
    peak = f"{median[top]:.1f} °C {around}".strip()
    if limits and median[0] <= limits[0]:
        passed = [level for level in limits if median[top] > level]
        if not passed:
            return f"stays at or below {peak}"
        crossed = next(k for k, value in enumerate(median) if value > passed[-1])
        return f"passes {passed[-1]:g} °C after {spoken(times_s[crossed])} and peaks at {peak}"
    end = f"{median[-1]:.1f} °C [{line['p10'][-1]:.1f} to {line['p90'][-1]:.1f}]"
    return f"peaks at {peak} and ends at {end}"


def _alarms(answer: Mapping[str, Any]) -> list[str]:
    avoided, added = [], []
    for row in answer["alarms"]:
        idle, acting = row["options"][0], row["options"][1]
        if row["active_now"]:
            continue
        if idle["probability"] >= 0.5 > acting["probability"]:
            avoided.append(row)
        elif acting["probability"] >= 0.5 > idle["probability"]:
            added.append(row)
    found = []
    if added:
        found.append(f"It raises {_listed(added, 1)}.")
    if avoided:
        found.append(f"It avoids {_listed(avoided, 0)}.")
    if not found and any(r["options"][0]["probability"] >= 0.5 for r in answer["alarms"]):
        found.append("The same alarms come either way.")
    return found


def _listed(rows: list[dict[str, Any]], option: int) -> str:
    rows = sorted(rows, key=lambda row: row["options"][option]["first_s"])
    shown = [
        f"{row['rule']} on {row['asset']} (after {spoken(row['options'][option]['first_s'])})"
        for row in rows[:2]
    ]
    if len(rows) == 1:
        return shown[0]
    rest = f" and {len(rows) - 2} more" if len(rows) > 2 else ""
    return f"{len(rows)} alarms: {', '.join(shown)}{rest}"


def _energy(answer: Mapping[str, Any]) -> list[str]:
    row = answer["energy"]["options"][1]
    more = (row.get("facility_more_kwh") or {}).get("p50")
    if more is None or abs(more) < SHOWN_KWH:
        return []
    word = "more" if more > 0 else "less"
    price, cost = answer["energy"]["price"], (row.get("more_cost") or {}).get("p50")
    money = f" ({abs(cost):.2f} {price['currency']})" if price and cost is not None else ""
    span = spoken(answer["duration_s"])
    return [f"The site takes {abs(more):.1f} kWh {word}{money} in {span}."]


def _jobs(answer: Mapping[str, Any]) -> list[str]:
    slowed = []
    for row in answer["jobs"]:
        slower = row["options"][1]["slower_pct"]["p50"]
        lost = row["options"][1]["more_lost_gpu_h"]["p50"]
        if slower is not None and abs(slower) >= SHOWN_SLOWER_PCT:
            word = "slower" if slower > 0 else "faster"
            slowed.append(f"{row['name']} is {abs(slower):.0f} % {word}")
        elif lost is not None and abs(lost) >= SHOWN_GPU_H:
            slowed.append(f"{row['name']} loses {lost:.1f} GPU-hours")
    return [f"{'; '.join(slowed)}."] if slowed else []
