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
        context["faults"] = _ask("GET", "/faults")
        context["writes"] = list(reversed(_ask("GET", "/writes")["writes"]))[:20]
    except PlantSilent as error:
        context["problem"] = str(error)
    return render(request, "ops_platform/plant.html", context)


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
            _ask("POST", "/faults", {"fault": name})
            messages.success(request, f"{name} is on. Alarms follow within seconds to minutes.")
    except PlantSilent as error:
        messages.error(request, str(error))
    return redirect("plant")
