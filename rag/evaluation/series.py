"""Runs as tables and as lines over time."""

from collections.abc import Iterable
from typing import Any

from rag.evaluation.comparing import first_system, system_figures, systems_of
from rag.models import EvaluationRun

LABELS = {
    "mrr": "MRR@10",
    "hit_1": "hit@1",
    "hit_5": "hit@5",
    "ndcg": "nDCG@10",
    "recall": "recall@10",
    "mrr_low": "MRR low",
    "mrr_high": "MRR high",
}
SETUP_LABELS = {
    "questions": "Questions",
    "unanswerable": "Unanswerable, left out",
    "skipped": "Not in the library, left out",
    "version": "Version",
    "embedding_model": "Embedding model",
    "fusion": "Fusion",
    "rerank": "Cross-encoder",
    "collection": "Collection",
    "k": "Passages asked for",
    "documents": "Documents in force",
    "passages": "Passages",
    "seconds": "Seconds",
    "sha256": "SHA-256 of the file",
}
NOT_SHOWN = ("systems", "held")
# Drawn of a retrieval run; of the other kinds every share is drawn, by name.
CHARTED = ("mrr", "hit_1", "hit_5", "ndcg")
MAX_POINTS = 200
MAX_LINES = 6


def label(name: str) -> str:
    """A measure as a heading."""
    return LABELS.get(name, name.replace("_", " "))


def runs_table(runs: Iterable[EvaluationRun]) -> list[dict[str, Any]]:
    """Each run with its systems, as (name, [(label, value)], p value) for the templates."""
    table = []
    for run in runs:
        figures = run.figures or {}
        by_system = {name: figures[name] for name in systems_of(run)}
        table.append(
            {
                "run": run,
                "first": first_system(run) if by_system else "",
                "systems": [
                    {
                        "name": name,
                        "figures": values,
                        "all": [(label(key), value) for key, value in values.items()],
                    }
                    for name, values in by_system.items()
                ],
                "shares": _shares(system_figures(run)) if run.kind != "retrieval" else [],
                "figures": system_figures(run),
                "setup": _setup(run),
                "flat": [
                    (label(key), value)
                    for key, value in figures.items()
                    if isinstance(value, int | float) and not isinstance(value, bool)
                ],
            }
        )
    return table


def _setup(run: EvaluationRun) -> list[tuple[str, Any]]:
    """What was measured, in an order to read, without what other parts of the page show."""
    known = [
        (name, run.setup[key][:16] if key == "sha256" else run.setup[key])
        for key, name in SETUP_LABELS.items()
        if run.setup.get(key) not in (None, "", [], {})
    ]
    others = [
        (key.replace("_", " "), value)
        for key, value in sorted(run.setup.items())
        if key not in SETUP_LABELS and key not in NOT_SHOWN and value not in (None, "", [], {})
    ]
    return known + others


def series_by_set(*, kind: str = "") -> list[dict[str, Any]]:
    """One chart per kind and set: times, and up to six lines of shares, oldest first.

    Sets with the newest run first. One query.
    """
    runs = EvaluationRun.objects.filter(state=EvaluationRun.State.DONE).defer("rows")
    if kind:
        runs = runs.filter(kind=kind)
    sets: dict[tuple[str, str], list[EvaluationRun]] = {}
    for run in runs.order_by("-finished_at", "-id")[:2000]:
        kept = sets.setdefault((run.kind, run.name), [])
        if len(kept) < MAX_POINTS:
            kept.append(run)
    return [_chart(name, list(reversed(kept))) for (_kind, name), kept in sets.items()]


def _chart(name: str, runs: list[EvaluationRun]) -> dict[str, Any]:
    newest = runs[-1]
    if newest.kind == EvaluationRun.Kind.RETRIEVAL:
        measures = [key for key in CHARTED if key in system_figures(newest)]
    else:
        measures = [key for key, _value in _shares(system_figures(newest))][:MAX_LINES]
    figures = [system_figures(run) for run in runs]
    return {
        "name": name,
        "kind": newest.get_kind_display(),
        "held": newest.is_held,
        "system": first_system(newest),
        "count": len(runs),
        "newest": newest.pk,
        "times": [round(run.finished_at.timestamp(), 3) for run in runs],
        "versions": [str(run.setup.get("version", "")) for run in runs],
        "lines": [
            {"label": label(key), "values": [_number(values.get(key)) for values in figures]}
            for key in measures
        ],
    }


def _shares(figures: dict[str, Any]) -> list[tuple[str, float]]:
    """The measures that are shares, 0…1."""
    return [
        (key, float(value))
        for key, value in figures.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    ]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
