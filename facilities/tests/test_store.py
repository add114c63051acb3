"""Partitions, retention and concurrent storage."""

from __future__ import annotations

import random
import threading
from datetime import UTC, date, datetime, timedelta

import pytest
from django.conf import settings
from django.db import connection

from facilities import partitions
from facilities.ingest.points import point_table
from facilities.ingest.store import store
from facilities.ingest.validate import ValidReading
from facilities.models import LatestReading, Reading
from facilities.tasks import drop_old_partitions, make_partitions


@pytest.mark.django_db
def test_it_makes_todays_and_tomorrows_partition():
    make_partitions.apply()
    today = datetime.now(UTC).date()
    assert {today, today + timedelta(days=1)} <= set(partitions.existing_partitions())
    make_partitions.apply()


@pytest.mark.django_db
def test_it_drops_only_what_is_older_than_the_retention(push):
    today = datetime.now(UTC).date()
    old = [today - timedelta(days=settings.RETENTION_DAYS + n) for n in (0, 1, 30)]
    partitions.ensure_partitions([today, *old])
    assert partitions.drop_old_partitions() == sorted(old[1:])
    assert {today, old[0]} <= set(partitions.existing_partitions())
    drop_old_partitions.apply()


@pytest.mark.django_db(transaction=True)
def test_it_makes_a_partition_once_under_contention(clean_readings):
    day = date(2031, 5, 17)
    errors: list[Exception] = []
    barrier = threading.Barrier(6)

    def work():
        try:
            barrier.wait()
            partitions.ensure_partitions([day])
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert day in partitions.existing_partitions()
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {partitions.partition_name(day)}")


@pytest.mark.django_db(transaction=True)
def test_it_stores_concurrent_overlapping_batches_without_deadlock(small_facility, clean_readings):
    table = point_table(None)
    now = datetime.now(UTC)
    base = int(now.timestamp() * 1e6)
    rows = [
        ValidReading(facts, base - i * 1_000_000, float(i))
        for facts in table.by_id.values()
        for i in range(100)
    ]
    errors: list[Exception] = []
    barrier = threading.Barrier(5)

    def work(seed: int):
        mine = random.Random(seed).sample(rows, len(rows))
        try:
            barrier.wait()
            for start in range(0, len(mine), 200):
                store(mine[start : start + 200], source_id=None, now=now)
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert Reading.objects.count() == len(rows)
    assert {row.value for row in LatestReading.objects.all()} == {0.0}
