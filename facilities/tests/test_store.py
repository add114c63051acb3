"""Partitions, retention and concurrent storage."""

from __future__ import annotations

import random
import threading
from datetime import UTC, date, datetime, timedelta

import pytest
from django.conf import settings
from django.db import connection, transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from facilities import partitions
from facilities.ingest.auth import Sender
from facilities.ingest.samples import samples_of
from facilities.ingest.service import ingest
from facilities.models import LatestReading, Reading, Source
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
    sender = Sender(Source.objects.create(name="s", token_hash="x").pk, "s")
    base = int(datetime.now(UTC).timestamp() * 1e6)
    tags = ["rack-a.inlet_c", "rack-b.inlet_c", "crac-a.supply_c"]
    rows = [(tag, base - i * 1_000_000, 20.0 + i / 100) for tag in tags for i in range(100)]
    errors: list[Exception] = []
    barrier = threading.Barrier(5)

    def work(seed: int):
        mine = random.Random(seed).sample(rows, len(rows))
        try:
            barrier.wait()
            for start in range(0, len(mine), 100):
                result = ingest(samples=samples_of(mine[start : start + 100]), sender=sender)
                assert result.accepted == 100, result.rejected
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
    assert {row.value for row in LatestReading.objects.all()} == {20.0}


row_lists = st.lists(
    st.tuples(
        st.sampled_from(["rack-a.inlet_c", "rack-b.inlet_c"]),
        st.integers(0, 6),
        st.sampled_from([20.0, 21.0, 22.0]),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.django_db
@settings_of(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(requests=st.lists(row_lists, min_size=1, max_size=4))
def test_it_stores_each_point_and_time_once_and_the_first_wins(small_facility, requests):
    """Whatever is repeated, in a request or between them: as a dictionary that never overwrites."""
    source, _ = Source.objects.get_or_create(name="s", defaults={"token_hash": "x"})
    base = int(datetime.now(UTC).timestamp()) * 1_000_000
    expected: dict[tuple[str, int], float] = {}
    with transaction.atomic():
        for rows in requests:
            made = [(tag, base - step * 1_000_000, value) for tag, step, value in rows]
            result = ingest(samples=samples_of(made), sender=Sender(source.pk, "s"))
            assert (result.accepted, result.rejected) == (len(rows), [])
            for tag, ts, value in made:
                expected.setdefault((tag, ts), value)
        stored = {
            (tag, round(ts.timestamp() * 1e6)): value
            for tag, ts, value in Reading.objects.values_list("point__tag", "ts", "value")
        }
        assert stored == expected
        newest = {
            tag: max((t, v) for (name, t), v in expected.items() if name == tag)
            for tag in {tag for tag, _ in expected}
        }
        latest = LatestReading.objects.values_list("point__tag", "ts", "value")
        assert {tag: (round(ts.timestamp() * 1e6), v) for tag, ts, v in latest} == newest
        transaction.set_rollback(True)
