"""The same path without the committer: one decoded request on the caller's own connection.

For Django's view (WSGI, tests inside a transaction) and for replays. Readings, latest values and
quarantine are written before it returns.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import partial

from django.db import transaction

from facilities.ingest import latest, publish
from facilities.ingest.auth import Sender
from facilities.ingest.committer import commit
from facilities.ingest.pipeline import Group, Push
from facilities.ingest.samples import Samples
from facilities.ingest.wire import Result
from facilities.models import Source

SEEN_EVERY = timedelta(seconds=10)


def ingest(
    *, samples: Samples, sender: Sender, strict: bool = True, format_name: str = "native"
) -> Result:
    """Commit the samples that pass before returning.

    Raises ``IngestError``: 503 when the database is away (nothing is stored), 400 or 500 when
    the request cannot be stored.
    """
    now_us = time.time_ns() // 1_000
    push = Push(sender, samples, now_us, strict, format_name)
    for group in commit([push]):
        _after_commit(group)
    if push.error is not None or push.result is None:
        raise push.error or AssertionError("a push ended without result and without error")
    _note_seen(sender)
    return push.result


def _after_commit(group: Group) -> None:
    if len(group):
        newest = latest.newest_of(group)
        fresh = newest.take(latest.upsert(newest))
        if len(fresh.point_id):
            row = group.columns.rows_of(fresh.point_id)
            transaction.on_commit(partial(publish.push, group.columns, fresh), robust=True)
            transaction.on_commit(
                partial(publish.evaluate, group.columns, row, fresh.ts_us, fresh.value, fresh.flag),
                robust=True,
            )
    if len(group.stale_row):
        ids = group.columns.id[group.stale_row].tolist()
        latest.mark_ended(sorted(zip(ids, group.stale_ts_us.tolist(), strict=True)))


def _note_seen(sender: Sender) -> None:
    now = datetime.now(UTC)
    Source.objects.filter(pk=sender.source_id).exclude(last_seen_at__gt=now - SEEN_EVERY).update(
        last_seen_at=now
    )
