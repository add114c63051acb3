"""The demo plant's page: break something and watch Holdpoint notice (demo mode only).

This is the instructor's door to the simulator, not a way to operate the plant: setpoints are
written by approved executions alone.
"""

from typing import Any

import httpx
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

TIMEOUT_S = 3.0
SEVERITIES = ((1.0, "full"), (0.5, "half"), (0.25, "slight"))
TIMES = ((0, "at once"), (600, "over 10 minutes"), (3600, "over an hour"), (28800, "over 8 hours"))


class PlantSilent(Exception):
    """The plant did not answer, or refused; the text says which."""


def _ask(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    try:
        answer = httpx.request(
            method,
            f"{settings.PLANT_URL}{path}",
            json=body,
            headers={"Authorization": f"Bearer {settings.PLANT_TOKEN}"},
            timeout=TIMEOUT_S,
        )
    except httpx.HTTPError as error:
        raise PlantSilent(f"The demo plant does not answer ({type(error).__name__}).") from error
    if answer.status_code >= 400:
        try:
            detail = answer.json()["detail"]
        except (ValueError, KeyError, TypeError):
            detail = f"status {answer.status_code}"
        raise PlantSilent(f"The demo plant refused: {detail}")
    return answer.json() if answer.content else None


@login_required
def page(request: HttpRequest) -> HttpResponse:
    """Faults that can be injected, faults that are on, and the plant's own log of writes."""
    if not settings.DEMO_MODE:
        raise Http404
    context: dict[str, Any] = {"nav": "plant", "problem": ""}
    try:
        context["groups"] = _grouped(_ask("GET", "/faults")["faults"])
        context["active"] = [
            f for group in context["groups"] for f in group["faults"] if f["active"]
        ]
        context["severities"], context["times"] = SEVERITIES, TIMES
        context["writes"] = list(reversed(_ask("GET", "/writes")["writes"]))[:20]
    except PlantSilent as error:
        context["problem"] = str(error)
    return render(request, "ops_platform/plant.html", context)


def _grouped(faults: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Faults under the headings that the plant gives them, in its order."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for fault in faults:
        fault["level_pct"] = round(100 * fault["level"])
        groups.setdefault(fault["group"], []).append(fault)
    return [
        {"name": name, "faults": members, "active": sum(f["active"] for f in members)}
        for name, members in groups.items()
    ]


def _development(request: HttpRequest) -> dict[str, float]:
    """Severity and development time as posted; what is no number is left to the plant."""
    given: dict[str, float] = {}
    for name in ("severity", "over_s"):
        try:
            given[name] = float(request.POST[name])
        except (KeyError, ValueError):
            continue
    return given


@require_POST
@login_required
@permission_required("facilities.inject_fault", raise_exception=True)
def fault(request: HttpRequest) -> HttpResponse:
    """Inject the posted fault, clear one, or clear all (`action` = inject | clear | clear_all)."""
    if not settings.DEMO_MODE:
        raise Http404
    name = request.POST.get("fault", "")
    action = request.POST.get("action", "inject")
    try:
        if action == "clear_all":
            _ask("DELETE", "/faults")
            messages.success(request, "All faults are cleared; the plant recovers by itself.")
        elif action == "clear":
            _ask("DELETE", f"/faults/{name}")
            messages.success(request, f"{name} is cleared.")
        else:
            given = _development(request)
            _ask("POST", "/faults", {"fault": name, **given})
            slow = given.get("over_s", 0.0) > 0
            then = "It develops slowly." if slow else "Alarms follow within seconds to minutes."
            messages.success(request, f"{name} is on. {then}")
    except PlantSilent as error:
        messages.error(request, str(error))
    return redirect("plant")
