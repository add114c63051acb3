"""Lives of processes: who lives, who ended alone, when everything stopped."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from facilities.models import ProcessRun
from facilities.services.processes import KEPT, process_seen, record

T = datetime(2026, 3, 1, 12, tzinfo=UTC)


def life(kind: str, start_s: float, end_s: float, host: str = "a") -> None:
    ProcessRun.objects.create(
        kind=kind,
        host=host,
        pid=1,
        started_at=T + timedelta(seconds=start_s),
        seen_at=T + timedelta(seconds=end_s),
    )


@pytest.mark.django_db
def test_it_signs_in_once_is_seen_and_forgets_the_old(django_assert_num_queries):
    started = timezone.now()
    ProcessRun.objects.create(
        kind="web", host="old", pid=1, started_at=started - 2 * KEPT, seen_at=started - 2 * KEPT
    )
    run = process_seen(kind="web", started_at=started, run=None)
    with django_assert_num_queries(1):
        assert process_seen(kind="web", started_at=started, run=run) == run
    (row,) = ProcessRun.objects.all()
    assert (row.kind, row.pid) == ("web", os.getpid())
    assert row.seen_at > row.started_at
    # Somebody emptied the table: it signs in again.
    ProcessRun.objects.all().delete()
    assert process_seen(kind="web", started_at=started, run=run) != run


@pytest.mark.django_db
def test_it_tells_a_crash_from_a_stop_of_everything(django_assert_num_queries):
    life("web", 0, 1000)  # all stop together
    life("worker", 0, 1012)
    life("web", 2000, 3000)  # ends alone: the worker goes on
    life("worker", 2000, 9990)
    life("web", 3015, 9990)
    life("web", 0, 5000, host="b")  # another machine's stop is no crash of this one
    with django_assert_num_queries(1):
        found = record(now=T + timedelta(seconds=10_000))
    assert found.live == {"worker": 1, "web": 1}
    assert (found.starts, found.alone, found.together) == (6, 1, 2)
    assert found.since == T


@pytest.mark.django_db
def test_it_knows_nothing_before_anybody_signed_in():
    found = record(now=T)
    assert (found.since, found.starts, found.alone, found.live) == (None, 0, 0, {})
