"""What every template may use besides its own context."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

#: (key, label, URL name or path, icon of the package lucide-static)
NAVIGATION = [
    ("overview", "Overview", "/", "layout-dashboard"),
    ("alarms", "Alarms", "/alarms/", "bell"),
    ("approvals", "Approvals", "/approvals/", "signature"),
    ("chat", "Chat", "/chat/", "message-square-text"),
    ("points", "Data list", "/points/", "list-tree"),
    ("library", "Library", "/library/", "book-open"),
    ("audit", "Audit trail", "/audit/", "shield-check"),
    ("engine", "Engine", "/engine/", "cpu"),
    ("plant", "Demo plant", "/plant/", "factory"),
]


def product(request: HttpRequest) -> dict[str, Any]:
    """Navigation and version; the demo plant shows up in demo mode only."""
    shown = [entry for entry in NAVIGATION if entry[0] != "plant" or settings.DEMO_MODE]
    return {"navigation": shown, "version": settings.VERSION, "demo_mode": settings.DEMO_MODE}
