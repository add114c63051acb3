"""What every template may use besides its own context."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

#: heading, then (key, label, URL name or path, icon of the package lucide-static)
NAVIGATION: list[tuple[str, list[tuple[str, str, str, str]]]] = [
    (
        "Operations",
        [
            ("overview", "Overview", "/", "layout-dashboard"),
            ("alarms", "Alarms", "/alarms/", "bell"),
            ("approvals", "Approvals", "/approvals/", "signature"),
            ("chat", "Chat", "/chat/", "message-square-text"),
        ],
    ),
    (
        "Facility",
        [
            ("points", "Data list", "/points/", "list-tree"),
            ("sources", "Sources", "/sources/", "radio-tower"),
            ("quarantine", "Quarantine", "/quarantine/", "inbox"),
            ("snapshots", "Snapshots", "/snapshots/", "hourglass"),
            ("quality", "Data quality", "/quality/", "badge-check"),
            ("requirements", "Requirements", "/requirements/", "clipboard-list"),
            ("plant", "Demo plant", "/plant/", "factory"),
        ],
    ),
    (
        "Twin",
        [
            ("hall", "Hall map", "/hall/", "map"),
            ("whatif", "What if", "/whatif/", "git-compare"),
            ("gpus", "GPUs", "/gpus/", "gpu"),
            ("network", "Network", "/network/", "network"),
            ("energy", "Energy", "/energy/", "zap"),
            ("twin", "Twin accuracy", "/twin/", "target"),
        ],
    ),
    (
        "Knowledge and proof",
        [
            ("library", "Library", "/library/", "book-open"),
            ("imports", "Imports", "/knowledge/imports/", "file-input"),
            ("gaps", "Gaps", "/knowledge/gaps/", "puzzle"),
            ("reports", "Outcome reports", "/knowledge/reports/", "notebook-pen"),
            ("bench", "Test bench", "/knowledge/bench/", "flask-conical"),
            ("evaluation", "Evaluation", "/knowledge/evaluation/", "chart-line"),
            ("audit", "Audit trail", "/audit/", "shield-check"),
            ("engine", "Engine", "/engine/", "cpu"),
        ],
    ),
]


def product(request: HttpRequest) -> dict[str, Any]:
    """Navigation and version; the demo plant shows up in demo mode only."""
    shown = [
        (heading, [entry for entry in entries if entry[0] != "plant" or settings.DEMO_MODE])
        for heading, entries in NAVIGATION
    ]
    return {"navigation": shown, "version": settings.VERSION, "demo_mode": settings.DEMO_MODE}
