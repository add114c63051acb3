"""Pages of the requirements board and the capacity planner."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from facilities.board.components import read_board
from facilities.board.context import read_context
from facilities.board.planner import PlanInput, capacity_plan, present, wanted_of

LABELS = {
    "points": ("Points", 1),
    "interval_s": ("Mean sampling interval, s", "any"),
    "retention_days": ("Readings kept, days", 1),
    "retention_1m_days": ("Minutes kept, days", 1),
    "retention_1h_days": ("Hours kept, days", 1),
}


@require_safe
@login_required
def board(request: HttpRequest) -> HttpResponse:
    """The six components, computed now."""
    context = read_context()
    components = read_board(context)
    return render(
        request,
        "facilities/requirements/board.html",
        {
            "nav": "requirements",
            "components": components,
            "unknown": [
                (part, cell)
                for part in components
                for cell in part.cells
                if cell.state == "unknown"
            ],
            "at": context.now,
        },
    )


@require_safe
@login_required
def plan(request: HttpRequest) -> HttpResponse:
    """A plan from the form; without one, the present data list."""
    base = present()
    given = {name: request.GET.get(name, "").replace("\0", "") for name in PlanInput._fields}
    problem = ""
    wanted = base
    try:
        wanted = wanted_of(base, given)
    except ValueError as error:
        problem = str(error)
    fields = [
        {
            "name": name,
            "label": label,
            "step": step,
            "value": given[name] or f"{getattr(wanted, name):.12g}",
            "now": getattr(base, name),
        }
        for name, (label, step) in LABELS.items()
    ]
    answer = None if problem else capacity_plan(wanted=wanted)
    return render(
        request,
        "facilities/requirements/plan.html",
        {
            "nav": "requirements",
            "fields": fields,
            "problem": problem,
            "plan": answer,
            "needs": sorted(answer.needs, key=lambda need: -(need.share or 0)) if answer else [],
            "assumed": [(name, rate) for name, rate in answer.rates.items() if not rate.measured]
            if answer
            else [],
        },
        status=400 if problem else 200,
    )
