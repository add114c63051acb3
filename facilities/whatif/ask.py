"""The one door: a question to the live twin, and its answer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.conf import settings

from facilities.energy.prices import tariff_of
from facilities.tracking.live import Live, current
from facilities.twin.drive import Key
from facilities.twin.site import Site

from .alarms import watches_read
from .answer import Price, answer_make
from .ensemble import Progress, simulate
from .limits import DataList, data_list
from .question import MAX_DRAWS, Question, Wanted, question_read, wanted_read
from .summary import HOTTEST, sentences

MODEL: Final = "twin-1"
"""Version of the twin's equations that an answer was made with; stored with predictions."""

BUDGET_S: Final = 20.0
"""Longest a request may compute before it is told to use a worker (assumed)."""

UNFOLLOWED_SD: Final[dict[Key, float]] = {
    ("rack", "inlet_c"): 0.7,
    ("gpu", "temp_c"): 2.0,
    ("crac", "supply_c"): 0.5,
    ("crac", "return_c"): 0.7,
}
"""Standard deviation of measured less predicted while nothing has been followed yet (assumed:
the spread between probes at one rack, and between GPUs of one model)."""

ALWAYS: Final = (
    HOTTEST,
    "max(gpu.temp_c)",
    "sum(hall.it_power_w)",
    "sum(hall.facility_power_w)",
)
OF_CHANGED: Final[dict[str, tuple[str, ...]]] = {
    "crac": ("supply_c", "fan_speed_pct"),
    "chiller": ("supply_c", "power_w"),
    "pump": ("flow_lps",),
    "cdu": ("supply_c",),
    "tower": ("leaving_c",),
    "rack": ("inlet_c", "power_w"),
    "server": ("power_w",),
    "gpu": ("temp_c", "sm_clock_mhz"),
    "link": ("util_pct",),
    "job": ("step_time_s",),
    "ups": ("battery_pct", "load_w"),
    "pdu": ("power_w",),
    "utility": ("power_w",),
}
"""What is shown, unasked, of assets that a change is made to."""
CHANGED_SHOWN: Final = 4
SLOWS_JOBS: Final = frozenset({"gpu", "server", "rack", "link", "job"})
"""Changes of these are asked for because of the jobs; for others the table of jobs is enough."""


class TooLongError(RuntimeError):
    """A request computed for longer than it may; the message says how to ask instead."""


def price_for(site: Site) -> Price:
    """Price of a kilowatt-hour: of the settings, else of the utility feed's attributes."""
    tariff, given = tariff_of(site), settings.ENERGY_PRICE
    if given:
        return Price(given.per_kwh, given.currency, tariff.carbon_g_kwh)
    return Price(tariff.price_per_kwh, tariff.currency, tariff.carbon_g_kwh)


def default_record(question: Question, site: Site) -> tuple[Wanted, ...]:
    """What is shown when nothing was asked for: the hottest, the power, jobs, what is changed."""
    names = [name for name in ALWAYS if site.count(name.split("(")[1].split(".")[0])]
    changed = dict.fromkeys(c.asset for option in question.options for c in option.changes)
    for tag in [tag for tag in changed if tag != "site"][:CHANGED_SHOWN]:
        names += [f"{tag}.{quantity}" for quantity in OF_CHANGED.get(site.locate(tag).kind, ())]
    kinds = {site.locate(tag).kind if tag != "site" else "site" for tag in changed}
    if kinds & SLOWS_JOBS:
        names += [f"{tag}.step_time_s" for tag in site.tags("job")[:CHANGED_SHOWN]]
    return wanted_read(dict.fromkeys(names), site=site)


def residuals_of(live: Live) -> dict[Key, float]:
    """Standard deviation of measured less predicted, by quantity; assumed ones where unknown."""
    found = dict(UNFOLLOWED_SD)
    for name, fit in live.fitness.items():
        kind, _, quantity = name.partition(".")
        rmse = fit.get("rmse") if isinstance(fit, Mapping) else None
        if quantity and isinstance(rmse, int | float) and rmse >= 0:
            found[kind, quantity] = float(rmse)
    return found


def question_for(
    data: Any, live: Live, listed: DataList, *, max_draws: int = MAX_DRAWS
) -> Question:
    """Read a question of the API against the live site. Raises ``QuestionError``."""
    return question_read(
        data, site=live.twin.site, drive=live.drive, listed=listed, max_draws=max_draws
    )


def whatif_ask(
    question: Question,
    *,
    live: Live | None = None,
    budget_s: float | None = BUDGET_S,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Answer a question as JSON, see docs/what-if.md.

    ``budget_s`` bounds the time it computes. Raises ``TooLongError``, ``QuestionError`` where the
    question does not fit the site, and ``SiteError`` for a data list that cannot be simulated.
    """
    began = time.perf_counter()
    live = live or current()
    site, listed = live.twin.site, data_list()
    wanted = question.record or default_record(question, site)
    watches, unfollowed = watches_read(site, listed, now=live.at.timestamp())
    residuals = residuals_of(live)
    read = time.perf_counter()
    draws = simulate(
        live.twin,
        live.state,
        live.drive,
        question,
        wanted=wanted,
        watches=watches,
        residuals=residuals,
        progress=_bounded(progress, budget_s),
    )
    simulated = time.perf_counter()
    answer = answer_make(
        question,
        draws,
        site=site,
        listed=listed,
        wanted=wanted,
        residuals=residuals,
        price=price_for(site),
        unfollowed=unfollowed,
    )
    answer["summary"] = sentences(answer)
    return {
        "at": live.at.isoformat(),
        "model": MODEL,
        "fit": fitness_of(live),
        **answer,
        "ms": {
            "read": round(1000 * (read - began), 1),
            "simulate": round(1000 * (simulated - read), 1),
            "judge": round(1000 * (time.perf_counter() - simulated), 1),
        },
    }


def fitness_of(live: Live, now: datetime | None = None) -> dict[str, Any]:
    """Whether the twin may be trusted now, and in words why not.

    ``verdict`` is ``fit``, ``unfit`` (followed, but outside ASHRAE Guideline 14) or ``unknown``
    (not followed yet: the state is that of one snapshot).
    """
    if not live.followed:
        text = "The twin has not followed the plant yet; it starts from a single snapshot."
        return {"verdict": "unknown", "text": text, "quantities": {}}
    judged = {
        name: fit
        for name, fit in live.fitness.items()
        if isinstance(fit, Mapping) and fit.get("passed") is not None
    }
    if not judged:
        text = "The twin follows the plant, but its accuracy has not been measured yet."
        return {"verdict": "unknown", "text": text, "quantities": {}}
    failed = sorted(name for name, fit in judged.items() if not fit["passed"])
    critical = [name for name in failed if name.startswith(("rack.", "hall."))]
    shown = {
        name: {k: v for k, v in fit.items() if k in ("rmse", "cv_rmse_pct", "nmbe_pct", "passed")}
        for name, fit in judged.items()
    }
    if critical:
        text = f"The twin predicts {', '.join(critical)} outside ASHRAE Guideline 14 limits."
        return {"verdict": "unfit", "text": text, "quantities": shown}
    text = f"{len(judged) - len(failed)} of {len(judged)} quantities within ASHRAE Guideline 14."
    return {"verdict": "fit", "text": text, "quantities": shown}


def _bounded(progress: Progress | None, budget_s: float | None) -> Progress | None:
    if budget_s is None:
        return progress
    began = time.perf_counter()

    def watch(share: float) -> None:
        if time.perf_counter() - began > budget_s:
            raise TooLongError(
                f"after {budget_s:.0f} s only {100 * share:.0f} % was computed: ask for a shorter "
                "time or fewer draws, or have a worker compute it (POST /api/v1/twin/whatif/runs/)"
            )
        if progress is not None:
            progress(share)

    return watch
