"""Keep measured runs: store them, run the questions of the database, compare two runs."""

import logging
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from rag.access import Reader
from rag.evaluation.golden import Golden, GoldenInvalid, golden_of
from rag.evaluation.running import (
    LEGS,
    CannotEvaluate,
    Evaluation,
    System,
    retrieval_evaluate,
    setup_describe,
)
from rag.models import EvaluationRun, GoldenQuestion

logger = logging.getLogger(__name__)

GOLDEN_NAME = "golden questions"
# A run whose worker is silent for this long is given up; longer than any single search.
STALE_S = 300


def golden_load() -> list[Golden]:
    """The active questions of the database. One whose form is broken is left out and logged."""
    found = []
    for question in GoldenQuestion.objects.filter(is_active=True).order_by("id"):
        try:
            found.append(
                golden_of(question.as_entry(), place=f"question {question.pk}", name=GOLDEN_NAME)
            )
        except GoldenInvalid as error:
            logger.warning("golden question left out: %s", error)
    return found


def run_store(
    *,
    evaluation: Evaluation,
    name: str,
    setup: dict[str, Any],
    started_at: datetime,
    user: Any = None,
) -> EvaluationRun:
    """Store a finished retrieval run; a held set keeps its totals only."""
    run = EvaluationRun(
        kind=EvaluationRun.Kind.RETRIEVAL, name=name[:200], started_at=started_at, created_by=user
    )
    _finish(run, evaluation, setup)
    run.save()
    return run


def _finish(run: EvaluationRun, evaluation: Evaluation, setup: dict[str, Any]) -> None:
    count = len(evaluation.judged)
    run.setup = setup | {
        "questions": count,
        "unanswerable": evaluation.unanswerable,
        "skipped": len(evaluation.skipped),
        "seconds": round(evaluation.seconds, 1),
    }
    run.figures = evaluation.figures()
    run.rows = [] if setup.get("held") else evaluation.rows()
    run.state, run.error = EvaluationRun.State.DONE, ""
    run.done = run.total = count
    run.finished_at = timezone.now()


def golden_run_start(*, user: Any, fusion: str | None = None) -> EvaluationRun:
    """Queue a run over the active golden questions for the worker, as this user reads them.

    Raises CannotEvaluate when there is none, or when one is already under way.
    """
    count = GoldenQuestion.objects.filter(is_active=True, is_answerable=True).count()
    if not count:
        raise CannotEvaluate("There is no active golden question yet; save one from the bench.")
    with transaction.atomic():
        runs_give_up()
        under_way = EvaluationRun.objects.filter(
            name=GOLDEN_NAME, state__in=(EvaluationRun.State.QUEUED, EvaluationRun.State.RUNNING)
        )
        if under_way.exists():
            raise CannotEvaluate("A run over the golden questions is already under way.")
        run = EvaluationRun.objects.create(
            kind=EvaluationRun.Kind.RETRIEVAL,
            name=GOLDEN_NAME,
            setup={"held": False, "fusion": fusion or ""},
            started_at=timezone.now(),
            state=EvaluationRun.State.QUEUED,
            total=count,
            created_by=user,
        )
        transaction.on_commit(lambda: _enqueue(run.pk))
    return run


def golden_run_execute(*, run_id: int) -> EvaluationRun | None:
    """Carry a queued run out; None when another worker has it or it is gone."""
    claimed = EvaluationRun.objects.filter(pk=run_id, state=EvaluationRun.State.QUEUED).update(
        state=EvaluationRun.State.RUNNING, finished_at=timezone.now()
    )
    if not claimed:
        return None
    run = EvaluationRun.objects.select_related("created_by").get(pk=run_id)
    reader = Reader.of(run.created_by) if run.created_by else Reader()
    systems = (System("hybrid", fusion=run.setup.get("fusion") or None), *LEGS)

    def progress(done: int, total: int) -> None:
        EvaluationRun.objects.filter(pk=run_id).update(
            done=done, total=total, finished_at=timezone.now()
        )

    try:
        evaluation = retrieval_evaluate(
            golden_load(), reader=reader, systems=systems, skip_missing=True, progress=progress
        )
    except CannotEvaluate as error:
        _fail(run_id, str(error))
        return None
    except Exception:
        _fail(run_id, "The run broke off; the worker's log says why.")
        raise
    _finish(
        run,
        evaluation,
        setup_describe(reader=reader, collection=None, k=10, systems=systems) | {"held": False},
    )
    run.save()
    return run


def runs_give_up() -> int:
    """Mark runs as failed whose worker was lost. Returns how many."""
    before = timezone.now() - timedelta(seconds=STALE_S)
    return EvaluationRun.objects.filter(
        state__in=(EvaluationRun.State.QUEUED, EvaluationRun.State.RUNNING), finished_at__lt=before
    ).update(state=EvaluationRun.State.FAILED, error="No worker carried it out; start it again.")


def _fail(run_id: int, error: str) -> None:
    EvaluationRun.objects.filter(pk=run_id).update(
        state=EvaluationRun.State.FAILED, error=error[:500], finished_at=timezone.now()
    )


def _enqueue(run_id: int) -> None:
    from rag.tasks import evaluate_golden

    evaluate_golden.delay(run_id)
