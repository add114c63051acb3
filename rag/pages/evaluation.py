"""Evaluation: runs over time, one run with its questions, two runs beside each other."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from rag.access import Reader
from rag.evaluation.comparing import runs_compare, systems_of
from rag.evaluation.questions import LabelFilter
from rag.evaluation.records import golden_run_start
from rag.evaluation.resolving import Library
from rag.evaluation.running import CannotEvaluate
from rag.evaluation.series import LABELS, runs_table, series_by_set
from rag.models import EvaluationRun, GoldenQuestion

PAGE_SIZE = 30
ROWS_SHOWN = 500


@require_GET
@login_required
def evaluation(request: HttpRequest) -> HttpResponse:
    """Charts per set of questions, and the runs, newest first."""
    kind = request.GET.get("kind", "")
    kind = kind if kind in EvaluationRun.Kind.values else ""
    runs = EvaluationRun.objects.select_related("created_by").defer("rows")
    if kind:
        runs = runs.filter(kind=kind)
    page = Paginator(runs, PAGE_SIZE).get_page(request.GET.get("page"))
    context: dict[str, Any] = {
        "nav": "evaluation",
        "kind": kind,
        "kinds": EvaluationRun.Kind.choices,
        "page": page,
        "table": runs_table(page.object_list),
        "series": series_by_set(kind=kind),
        "golden_count": GoldenQuestion.objects.filter(is_active=True).count(),
    }
    return render(request, "rag/evaluation.html", context)


@require_POST
@login_required
@permission_required("rag.add_evaluationrun", raise_exception=True)
def evaluation_start(request: HttpRequest) -> HttpResponse:
    """Queue a run over the golden questions, then show its progress."""
    try:
        run = golden_run_start(user=request.user)
    except CannotEvaluate as error:
        messages.error(request, str(error))
        return redirect("rag:evaluation")
    return redirect(run)


@require_GET
@login_required
def evaluation_run(request: HttpRequest, pk: int) -> HttpResponse:
    """One run: figures by system, and the questions unless the set is held."""
    run = get_object_or_404(EvaluationRun.objects.select_related("created_by"), pk=pk)
    others = (
        EvaluationRun.objects.filter(kind=run.kind, name=run.name, state=EvaluationRun.State.DONE)
        .exclude(pk=run.pk)
        .defer("rows")[:20]
    )
    rows = [] if run.is_held else run.rows[:ROWS_SHOWN]
    labels = LabelFilter(Library(Reader.of(request.user))) if rows else None
    systems, shown = _ranked(rows, systems_of(run), labels) if labels else ([], [])
    context = {
        "nav": "evaluation",
        "run": run,
        "table": runs_table([run])[0],
        "systems": systems,
        "rows": shown,
        "others": others,
        "row_count": len(run.rows),
    }
    return render(request, "rag/evaluation_run.html", context)


@require_GET
@login_required
def evaluation_compare(request: HttpRequest) -> HttpResponse:
    """Two runs beside each other: what got better, what got worse."""
    keys = [request.GET.get(name, "") for name in ("before", "after")]
    runs = [
        get_object_or_404(EvaluationRun, pk=int(key) if key.isdigit() and len(key) < 10 else 0)
        for key in keys
    ]
    before, after = sorted(runs, key=lambda run: (run.finished_at, run.pk))
    context = {
        "nav": "evaluation",
        "before": before,
        "after": after,
        "comparison": runs_compare(before, after),
        "labels": LABELS,
        "same_set": before.kind == after.kind and before.name == after.name,
    }
    return render(request, "rag/evaluation_compare.html", context)


def _ranked(
    rows: list[Any], systems: list[str], labels: LabelFilter
) -> tuple[list[str], list[dict[str, Any]]]:
    """The ranked questions of a retrieval run, the worst first; other kinds store other rows."""
    shown = []
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("ranks"), dict):
            continue
        shown.append(
            {
                "query": row.get("query", ""),
                "wanted": [labels.shown(str(label)) for label in row.get("wanted", [])],
                "found": [labels.shown(str(label)) for label in row.get("found", [])],
                "ranks": [row["ranks"].get(name) for name in systems],
                "first": row["ranks"].get(systems[0]) if systems else None,
            }
        )
    shown.sort(key=lambda row: (row["first"] is not None, -(row["first"] or 0)))
    return systems, shown
