"""Runs of a worker: many draws, with progress; claimed, cancelled and cleaned up by rows.

A worker owns a run while its row says ``running``: every renewal of the heartbeat is a
conditional update, and a worker whose update finds no row stops.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from facilities.models import WhatIfRun, WhatIfState
from facilities.models.whatif import WHATIF_OPEN
from facilities.tracking.live import current
from facilities.twin.site import SiteError

from .ask import question_for, whatif_ask
from .limits import data_list
from .question import MAX_RUN_DRAWS, QuestionError

log = logging.getLogger(__name__)

BEAT_S: Final = 0.4
"""A worker renews its heartbeat and its progress this often at most."""
STALE_AFTER: Final = timedelta(seconds=45)
"""A running run without heartbeat for longer lost its worker: a chunk of draws takes seconds."""
UNCLAIMED_AFTER: Final = timedelta(minutes=15)
KEPT: Final = 200
"""Ended runs that are kept, newest first."""
KEPT_AT_LEAST: Final = timedelta(hours=1)
"""Whoever asked sees how it ended, however many came after."""
MAX_WAITING: Final = 5
"""Open runs of one person."""


class RunError(Exception):
    """A run cannot be made or changed now; the message says what to do."""


class _GoneError(Exception):
    """The row says that this worker no longer owns the run."""


def run_create(*, question: dict[str, Any], user: Any) -> WhatIfRun:
    """Check a question and put it in front of a worker. Raises ``QuestionError``, ``RunError``."""
    live = current()
    asked = question_for(question, live, data_list(), max_draws=MAX_RUN_DRAWS)
    with transaction.atomic():
        waiting = WhatIfRun.objects.filter(requested_by=user, state__in=WHATIF_OPEN).count()
        if waiting >= MAX_WAITING:
            raise RunError(f"{waiting} runs of yours wait or run; let one finish, or cancel one")
        now = timezone.now()
        run = WhatIfRun.objects.create(
            title=asked.options[0].title[:200],
            question={**question, "draws": asked.draws},
            requested_by=user,
            created_at=now,
            heartbeat_at=now,
        )
        transaction.on_commit(lambda: _enqueue(run.pk))
    return run


def _enqueue(run_id: int) -> None:
    from facilities.tasks import run_whatif

    run_whatif.delay(run_id)


def run_again(*, run: WhatIfRun, user: Any) -> WhatIfRun:
    """The same question from the state that is live now. Raises as ``run_create``."""
    return run_create(question=run.question, user=user)


def run_cancel(*, run_id: int) -> bool:
    """Stop a run that waits or runs; its worker notices within seconds. False when it had ended."""
    return bool(
        WhatIfRun.objects.filter(pk=run_id, state__in=WHATIF_OPEN).update(
            state=WhatIfState.CANCELLED, finished_at=timezone.now()
        )
    )


def run_perform(*, run_id: int) -> str:
    """Claim a queued run and compute it. Returns its state, or "" when there is nothing to claim."""
    now = timezone.now()
    claimed = WhatIfRun.objects.filter(pk=run_id, state=WhatIfState.QUEUED).update(
        state=WhatIfState.RUNNING, started_at=now, heartbeat_at=now, progress=0.0
    )
    if claimed != 1:
        return ""
    run = WhatIfRun.objects.get(pk=run_id)
    try:
        live = current()
        question = question_for(run.question, live, data_list(), max_draws=MAX_RUN_DRAWS)
        answer = whatif_ask(question, live=live, budget_s=None, progress=_beat(run_id))
    except _GoneError:
        return WhatIfRun.objects.filter(pk=run_id).values_list("state", flat=True).first() or ""
    except (QuestionError, SiteError) as error:
        return _end(run_id, WhatIfState.FAILED, problem=f"{error}. Change the question.")
    except Exception as error:
        log.exception("what-if run %s failed", run_id)
        return _end(
            run_id, WhatIfState.FAILED, problem=f"{type(error).__name__}: {error}. Run it again."
        )
    return _end(run_id, WhatIfState.DONE, answer=answer)


def _beat(run_id: int) -> Any:
    last = [time.monotonic()]

    def beat(share: float) -> None:
        if time.monotonic() - last[0] < BEAT_S:
            return
        last[0] = time.monotonic()
        kept = WhatIfRun.objects.filter(pk=run_id, state=WhatIfState.RUNNING).update(
            progress=min(share, 0.99), heartbeat_at=timezone.now()
        )
        if kept != 1:
            raise _GoneError

    return beat


def _end(run_id: int, state: str, *, problem: str = "", answer: Any = None) -> str:
    ended = WhatIfRun.objects.filter(pk=run_id, state=WhatIfState.RUNNING).update(
        state=state,
        problem=problem[:500],
        finished_at=timezone.now(),
        **({"answer": answer, "progress": 1.0} if state == WhatIfState.DONE else {}),
    )
    return state if ended == 1 else ""


def runs_tend() -> int:
    """Fail runs whose worker died and runs that nobody took; drop the oldest. Returns how many
    failed.
    """
    now = timezone.now()
    lost = WhatIfRun.objects.filter(
        state=WhatIfState.RUNNING, heartbeat_at__lt=now - STALE_AFTER
    ).update(
        state=WhatIfState.FAILED,
        finished_at=now,
        problem="The worker that computed it ended. Run it again.",
    )
    unclaimed = WhatIfRun.objects.filter(
        state=WhatIfState.QUEUED, created_at__lt=now - UNCLAIMED_AFTER
    ).update(
        state=WhatIfState.FAILED,
        finished_at=now,
        problem="No worker took it within 15 minutes. Check that a worker serves the queue "
        "knowledge, then run it again.",
    )
    oldest = WhatIfRun.objects.exclude(state__in=WHATIF_OPEN).order_by("-id")
    kept = oldest.values_list("pk", flat=True)[KEPT : KEPT + 1].first()
    if kept is not None:
        WhatIfRun.objects.exclude(state__in=WHATIF_OPEN).filter(
            pk__lte=kept, finished_at__lt=now - KEPT_AT_LEAST
        ).delete()
    return lost + unclaimed


def runs_listed() -> QuerySet[WhatIfRun]:
    """Runs, newest first, without their answers: a list of them stays small. One query."""
    return WhatIfRun.objects.select_related("requested_by").defer("answer")
