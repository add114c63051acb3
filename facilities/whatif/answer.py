"""The answer as JSON: bands, alarms, first limit, energy, jobs, and sentences.

Bounded whatever the size of the site: ``MOMENTS`` per line, ``MAX_ALARMS`` rows, and only the
series that were asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facilities.alarms.table import Pair, rule_table
from facilities.twin.drive import Key
from facilities.twin.site import Floats, Site

from .alarms import Fired
from .ensemble import Draws
from .limits import DataList
from .question import NOTHING, Question, Wanted

MOMENTS: Final = 181
MAX_ALARMS: Final = 200
MAX_LEVELS: Final = 6
LOW, HIGH = 10.0, 90.0
SPREAD_AT_HIGH: Final = 1.2816
"""Standard deviations from the median to the 90th percentile of a normal distribution."""
LIKELY: Final = 0.5
SEVERITIES: Final = {"critical": 0, "high": 1, "medium": 2, "low": 3}


class Price(NamedTuple):
    """Price of a kilowatt-hour, and the carbon dioxide it stands for."""

    per_kwh: float
    currency: str
    carbon_g_kwh: float


def band(values: NDArray[np.floating[Any]], *, residual: float = 0.0) -> dict[str, Floats]:
    """10th, 50th and 90th percentile over draws (first axis), widened by residual uncertainty.

    The two uncertainties are independent, so their half-widths add in quadrature. The first draw
    (constants as they are) lies within.
    """
    finite = np.asarray(values, dtype=np.float64)
    if len(finite) == 1 and np.isfinite(finite).all():
        low = middle = high = finite[0]
    else:
        with np.errstate(invalid="ignore"):
            low, middle, high = np.percentile(finite, [LOW, 50.0, HIGH], axis=0)
    extra = SPREAD_AT_HIGH * residual
    low = np.minimum(middle - np.hypot(middle - low, extra), finite[0])
    high = np.maximum(middle + np.hypot(high - middle, extra), finite[0])
    return {"p10": low, "p50": middle, "p90": high}


def answer_make(
    question: Question,
    draws: Draws,
    *,
    site: Site,
    listed: DataList,
    wanted: Sequence[Wanted],
    residuals: Mapping[Key, float],
    price: Price | None,
    unfollowed: int,
) -> dict[str, Any]:
    """Everything but when, how fast and how well: those are added by ``ask``."""
    keep = _kept(len(draws.times_s))
    options = (NOTHING, *question.options)
    alarms = _alarms(draws, listed)
    levels = _levels_of(wanted)
    answer: dict[str, Any] = {
        "duration_s": question.duration_s,
        "draws": question.draws,
        "seed": question.seed,
        "options": [{"title": o.title, "groups": list(o.groups)} for o in options],
        "times_s": _rounded(draws.times_s[keep], 1),
        "series": [
            _series(
                one,
                draws,
                keep,
                site,
                listed,
                residuals.get((one.kind, one.quantity), 0.0),
                levels,
            )
            for one in wanted
            if one.name in draws.series
        ],
        "alarms": alarms[:MAX_ALARMS],
        "alarms_left_out": max(0, len(alarms) - MAX_ALARMS),
        "first": [_first(alarms, number) for number in range(len(options))],
        "energy": _energy(draws, price),
        "jobs": _jobs(draws, site, listed),
        "closure": float(f"{draws.closure:.3g}"),
        "notes": list(draws.notes),
    }
    missing = [one.name for one in wanted if one.name not in draws.series]
    if missing:
        answer["notes"].append(f"The twin does not compute {', '.join(missing)}.")
    if unfollowed:
        answer["notes"].append(
            f"{unfollowed} alarm rules speak of instruments (staleness, quality, anomaly) or of "
            "what the twin does not compute, and are not predicted."
        )
    return answer


def _kept(count: int) -> NDArray[np.int64]:
    if count <= MOMENTS:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, MOMENTS).round().astype(np.int64))


def _series(
    one: Wanted,
    draws: Draws,
    keep: NDArray[np.int64],
    site: Site,
    listed: DataList,
    residual: float,
    levels: Levels,
) -> dict[str, Any]:
    values = draws.series[one.name]
    tag = site.tags(one.kind)[0] if one.row is None and site.count(one.kind) else ""
    point = listed.points.get(one.name if one.row is not None else f"{tag}.{one.quantity}")
    if one.aggregate in ("sum", "mean"):
        residual = 0.0
    lines = []
    for variant in range(values.shape[0]):
        found = band(values[variant], residual=residual)
        ends = {
            "end": _number(found["p50"][-1]),
            "peak": _number(np.nanmax(found["p50"])) if np.isfinite(found["p50"]).any() else None,
            "low": _number(np.nanmin(found["p50"])) if np.isfinite(found["p50"]).any() else None,
        }
        lines.append({**{name: _rounded(line[keep], 3) for name, line in found.items()}, **ends})
    return {
        "name": one.name,
        "title": _title(one, listed),
        "unit": point.unit if point else _unit(one.quantity),
        "worst": list(draws.worst.get(one.name, ())),
        "levels": _levels(one, levels),
        "options": lines,
    }


KINDS: Final = {"gpu": "GPU", "crac": "CRAC", "cdu": "CDU", "ups": "UPS", "pdu": "PDU"}
_SUFFIXES: Final = {
    "_c": "Cel",
    "_w": "W",
    "_pct": "%",
    "_s": "s",
    "_gbps": "Gbit/s",
    "_lps": "L/s",
}


def _unit(quantity: str) -> str:
    return next((unit for end, unit in _SUFFIXES.items() if quantity.endswith(end)), "")


def _title(one: Wanted, listed: DataList) -> str:
    if one.row is not None:
        point = listed.points.get(one.name)
        return point.name if point else one.name
    words = {"max": "Highest", "min": "Lowest", "sum": "Sum of", "mean": "Mean"}[one.aggregate]
    return f"{words} {KINDS.get(one.kind, one.kind)} {one.quantity.rsplit('_', 1)[0].replace('_', ' ')}"


Levels = dict[tuple[str, str], dict[str, list[dict[str, Any]]]]


def _levels_of(wanted: Sequence[Wanted]) -> Levels:
    """Threshold rules on what is shown, for lines in a plot: by (kind, quantity), then by tag.

    Under the tag "" stand the different levels of all points together. One query.
    """
    shown = {(one.kind, one.quantity) for one in wanted}
    found: Levels = {key: {"": []} for key in shown}
    for pairs in rule_table().by_point.values():
        for pair in pairs:
            key = (pair.point.asset_kind, pair.point.quantity)
            if key not in shown or pair.rule.kind != "threshold":
                continue
            level = {
                "rule": pair.rule.name,
                "level": pair.levels.raise_level,
                "comparator": pair.levels.comparator,
                "severity": pair.rule.severity,
            }
            found[key].setdefault(pair.point.tag, []).append(level)
            if level not in found[key][""]:
                found[key][""].append(level)
    return found


def _levels(one: Wanted, levels: Levels) -> list[dict[str, Any]]:
    if one.aggregate in ("sum", "mean"):
        return []
    return levels[one.kind, one.quantity].get("" if one.row is None else one.name, [])[:MAX_LEVELS]


def _alarms(draws: Draws, listed: DataList) -> list[dict[str, Any]]:
    rows = [_alarm(fired, listed) for fired in draws.alarms.values()]
    rows.sort(
        key=lambda row: (
            SEVERITIES.get(row["severity"], 9),
            min((o["first_s"] for o in row["options"] if o["first_s"] is not None), default=1e9),
            row["point"],
        )
    )
    return rows


def _alarm(fired: Fired, listed: DataList) -> dict[str, Any]:
    pair: Pair = fired.pair
    options = []
    for raised, cleared in zip(fired.raised_s, fired.cleared_s, strict=True):
        at = raised[np.isfinite(raised)]
        over = cleared[np.isfinite(cleared)]
        low, middle, high = np.percentile(at, [LOW, 50.0, HIGH]) if len(at) else (None,) * 3
        options.append(
            {
                "probability": round(len(at) / len(raised), 3),
                "first_s": _number(middle),
                "first_low_s": _number(low),
                "first_high_s": _number(high),
                "clears": round(len(over) / len(raised), 3),
                "cleared_s": _number(float(np.median(over))) if len(over) else None,
            }
        )
    point = listed.points.get(pair.point.tag)
    return {
        "rule": pair.rule.name,
        "point": pair.point.tag,
        "asset": pair.point.asset,
        "title": point.name if point else pair.point.tag,
        "severity": pair.rule.severity,
        "message": pair.rule.message,
        "comparator": pair.levels.comparator,
        "level": pair.levels.raise_level,
        "unit": pair.point.unit,
        "active_now": fired.active,
        "options": options,
    }


def _first(alarms: Sequence[dict[str, Any]], number: int) -> dict[str, Any] | None:
    """The earliest new alarm that comes in at least half of the draws."""
    likely = [
        row
        for row in alarms
        if not row["active_now"] and row["options"][number]["probability"] >= LIKELY
    ]
    if not likely:
        return None
    row = min(likely, key=lambda r: (r["options"][number]["first_s"], r["point"]))
    return {
        "rule": row["rule"],
        "point": row["point"],
        "severity": row["severity"],
        "at_s": row["options"][number]["first_s"],
        "probability": row["options"][number]["probability"],
    }


def _energy(draws: Draws, price: Price | None) -> dict[str, Any]:
    """By course: energy and its difference to doing nothing, draw by draw."""
    found: dict[str, Any] = {"price": price._asdict() if price else None, "options": []}
    figures = draws.figures
    for variant in range(figures.variants):
        row: dict[str, Any] = {}
        for name, kwh in figures.energy_kwh.items():
            row[f"{name}_kwh"] = _scalars(kwh[variant])
            row[f"{name}_more_kwh"] = _scalars(kwh[variant] - kwh[0])
        if price and "facility" in figures.energy_kwh:
            kwh = figures.energy_kwh["facility"]
            more = kwh[variant] - kwh[0]
            row["more_cost"] = _scalars(more * price.per_kwh)
            row["more_carbon_kg"] = _scalars(more * price.carbon_g_kwh / 1000.0)
        row["throttled_gpu_h"] = _scalars(figures.throttled_gpu_h[variant])
        found["options"].append(row)
    return found


def _jobs(draws: Draws, site: Site, listed: DataList) -> list[dict[str, Any]]:
    rows = []
    figures = draws.figures
    for index, job in enumerate(site.of_kind("job")):
        step = figures.step_s[index]
        base = step[0]
        options = []
        for variant in range(figures.variants):
            with np.errstate(invalid="ignore", divide="ignore"):
                slower = 100.0 * (step[variant] / base - 1.0)
            options.append(
                {
                    "step_s": _scalars(step[variant]),
                    "slower_pct": _scalars(slower),
                    "throughput_pct": _scalars(figures.throughput_pct[index, variant]),
                    "lost_gpu_h": _scalars(figures.lost_gpu_h[index, variant]),
                    "more_lost_gpu_h": _scalars(
                        figures.lost_gpu_h[index, variant] - figures.lost_gpu_h[index, 0]
                    ),
                }
            )
        rows.append({"job": job.tag, "name": listed.name(job.tag), "options": options})
    return rows


def _scalars(values: Floats) -> dict[str, float | None]:
    if not np.isfinite(values).all():
        return dict.fromkeys(("p10", "p50", "p90"))
    found = band(values[:, None])
    return {name: _number(float(value[0]), 4) for name, value in found.items()}


def _number(value: Any, digits: int = 3) -> float | None:
    if value is None or not np.isfinite(value):
        return None
    return round(float(value), digits)


def _rounded(values: Floats, digits: int) -> list[float | None]:
    return [None if v != v else v for v in np.round(values.astype(np.float64), digits).tolist()]
