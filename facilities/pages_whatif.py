"""The workbench: build a sequence of changes, see it beside doing nothing."""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from facilities.models import Asset
from facilities.twin.drive import DRIVES
from facilities.whatif import runs
from facilities.whatif.question import (
    DEFAULT_DRAWS,
    MAX_CHANGES,
    MAX_DRAWS,
    MAX_RUN_DRAWS,
)

SHOWN_RUNS: Final = 20
RUN_DRAWS: Final = 100
DURATIONS: Final = (
    (600, "10 min"),
    (1800, "30 min"),
    (3600, "1 h"),
    (14400, "4 h"),
    (86400, "24 h"),
)
KINDS: Final = frozenset(kind for kind, _ in DRIVES) - {"site"}
MAX_ASSETS: Final = 5_000
"""Assets offered by the search field; a larger site's others are typed by tag."""

PRESETS: Final = (
    ("A CRAC trips", [("crac", 0, "crac_trip", None, 0)]),
    ("CRAC trips, standby after 2 min", [("crac", 0, "crac_trip", None, 0), ("crac", -1, "crac_start", None, 120)]),
    ("Utility lost", [("utility", 0, "feed_lost", None, 0)]),
    ("Feed lost, no generator", [("utility", 0, "feed_lost", None, 0), ("generator", 0, "generator_fails", None, 0)]),
    ("Chiller trips", [("chiller", 0, "chiller_trip", None, 0)]),
    ("Pump trips", [("pump", 0, "pump_trip", None, 0)]),
    ("A link at half bandwidth", [("link", 0, "link_degraded", 50, 0)]),
    ("Heat wave, +8 K", [("site", 0, "ambient", 8, 0)]),
    ("All GPUs at full load", [("site", 0, "load_surge", 100, 0)]),
    ("All GPUs capped at 500 W", [("site", 0, "gpu_cap", 500, 0)]),
    ("Containment door open", [("hall", 0, "door_open", 100, 0)]),
)  # fmt: skip
"""Title, and (kind, which of its assets, entry, value, seconds) of every change."""


@require_safe
@login_required
def workbench(request: HttpRequest) -> HttpResponse:
    """The workbench; ``?q=`` is a question as JSON, ``?run=`` a run to show. Three queries."""
    found = Asset.objects.filter(kind__in=KINDS).order_by("tag")
    assets: list[dict[str, Any]] = [
        {**row} for row in found.values("tag", "name", "kind")[:MAX_ASSETS]
    ]
    context = {
        "nav": "whatif",
        "assets": [
            {"tag": "site", "name": "The site (weather, all GPUs)", "kind": "site"},
            *assets,
        ],
        "presets": _presets(assets),
        "durations": DURATIONS,
        "default_duration": 1800,
        "runs": list(runs.runs_listed()[:SHOWN_RUNS]),
        "may_run": request.user.has_perm("facilities.add_whatifrun"),
        "limits": {
            "changes": MAX_CHANGES,
            "draws": DEFAULT_DRAWS,
            "max_draws": MAX_DRAWS,
            "run_draws": RUN_DRAWS,
            "max_run_draws": MAX_RUN_DRAWS,
        },
    }
    return render(request, "facilities/whatif.html", context)


def _presets(assets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The presets that this site has the assets for."""
    by_kind: dict[str, list[str]] = {"site": ["site"]}
    for asset in assets:
        by_kind.setdefault(asset["kind"], []).append(asset["tag"])
    made = []
    for title, changes in PRESETS:
        if not all(by_kind.get(kind) for kind, *_ in changes):
            continue
        made.append(
            {
                "title": title,
                "changes": [
                    {
                        "asset": by_kind[kind][which],
                        "what": what,
                        "at_s": at_s,
                        **({"value": value} if value is not None else {}),
                    }
                    for kind, which, what, value, at_s in changes
                ],
            }
        )
    return made
