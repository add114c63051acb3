"""Partitions of every table, their retention, and the tables' way to an extension."""

from __future__ import annotations

import io
import threading
from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from facilities import layout, partitions
from facilities.models import Rollup1h, Rollup1m
from ops_platform.config import load


@pytest.mark.django_db
def test_it_makes_partitions_ahead_of_every_table():
    now = datetime(2031, 1, 31, 12, tzinfo=UTC)
    partitions.make_ahead(now=now)
    days = {date(2031, 1, 31), date(2031, 2, 1), date(2031, 2, 2)}
    assert days <= set(partitions.READINGS.existing())
    assert days <= set(partitions.ROLLUPS_1M.existing())
    assert {date(2031, 1, 1), date(2031, 2, 1)} <= set(partitions.ROLLUPS_1H.existing())
    assert partitions.ROLLUPS_1H.ensure([date(2031, 2, 28)]) == []
    for ts in (now, now.replace(day=1), datetime(2031, 2, 28, 23, 59, tzinfo=UTC)):
        Rollup1h(point_id=1, ts=ts, count=1, bad=1, flag=4).save(force_insert=True)
    Rollup1m(point_id=1, ts=now, count=1, bad=1, flag=4).save(force_insert=True)


@pytest.mark.django_db
def test_it_drops_each_table_by_its_own_retention(settings):
    now = datetime(2031, 6, 15, 12, tzinfo=UTC)
    settings.RETENTION_DAYS, settings.RETENTION_1M_DAYS, settings.RETENTION_1H_DAYS = 5, 30, 80
    days = [(now - timedelta(days=n)).date() for n in (0, 4, 6, 29, 31, 100)]
    for table in partitions.TABLES:
        table.ensure(days)

    def left(table):
        return [d for d in table.existing() if date(2031, 1, 1) <= d <= now.date()]

    dropped = partitions.drop_old_partitions(now=now)
    assert [d for d in dropped if d.year == 2031] == sorted(days[2:])
    assert left(partitions.READINGS) == sorted(days[:2])
    assert left(partitions.ROLLUPS_1M) == sorted(days[:4])
    # March ends 76 days before: it is kept whole while any of it is within 80 days.
    assert left(partitions.ROLLUPS_1H) == [date(2031, 3, 1), date(2031, 5, 1), date(2031, 6, 1)]


@pytest.mark.django_db(transaction=True)
def test_it_leaves_a_partition_that_a_backup_reads(clean_readings, monkeypatch):
    """Commits of readings would queue behind a drop that waits for the backup."""
    monkeypatch.setattr(partitions, "DROP_WAIT", "100ms")
    day = date(2001, 1, 1)
    partitions.ensure_partitions([day])
    reading, release = threading.Event(), threading.Event()

    def read():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM facilities_reading")
            reading.set()
            release.wait(10)
        connection.close()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert reading.wait(10)
        assert day not in partitions.READINGS.drop_old()
        assert day in partitions.existing_partitions()
    finally:
        release.set()
        reader.join()
    assert day in partitions.READINGS.drop_old()


@pytest.mark.django_db
def test_it_shows_what_a_conversion_would_do(settings):
    settings.STORE_LAYOUT = "timescaledb"
    out = io.StringIO()
    call_command("convert_store", "--dry-run", stdout=out)
    text = out.getvalue()
    for table in ("facilities_reading", "facilities_rollup_1m", "facilities_rollup_1h"):
        assert f"create_hypertable('{table}', by_range('ts'" in text
        assert f"ALTER TABLE {table} ADD PRIMARY KEY (point_id, ts)" in text
    settings.STORE_LAYOUT = "citus"
    out = io.StringIO()
    call_command("convert_store", "--dry-run", stdout=out)
    first, *others = out.getvalue().splitlines()
    assert first == "SELECT create_distributed_table('facilities_reading', 'point_id');"
    assert all("colocate_with => 'facilities_reading'" in line for line in others)


@pytest.mark.django_db
def test_it_moves_rows_as_the_conversion_says(settings):
    """Every statement but the extension's own runs here too, and no row is lost."""
    now = datetime.now(UTC)
    partitions.ensure_partitions([now.date()])
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO facilities_reading (point_id, ts, value, received_at) "
            "SELECT n, %s, n, %s FROM generate_series(1, 50) n",
            [now, now],
        )
        for statement in layout.conversion("timescaledb"):
            if "create_hypertable" not in statement:
                cursor.execute(statement)
        cursor.execute("SELECT count(*), sum(value) FROM facilities_reading")
        assert cursor.fetchone() == (50, 1275.0)
        cursor.execute(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'facilities_reading'::regclass"
        )
        assert cursor.fetchone() == (0,)
    settings.STORE_LAYOUT = "timescaledb"
    partitions.forget()
    assert partitions.ensure_partitions([now.date() + timedelta(days=9)]) == []


@pytest.mark.django_db
def test_it_refuses_to_convert_without_the_extension(settings):
    with pytest.raises(CommandError, match="set timescaledb or citus"):
        call_command("convert_store")
    for name in ("timescaledb", "citus"):
        settings.STORE_LAYOUT = name
        with pytest.raises(CommandError, match=f"does not have the extension {name}"):
            call_command("convert_store")


def test_it_refuses_an_unknown_layout():
    with pytest.raises(ImproperlyConfigured, match="OPS_STORE_LAYOUT is 'sharded', not one of"):
        load({"OPS_STORE_LAYOUT": "sharded"})
    assert load({"OPS_STORE_LAYOUT": "citus"}).store_layout == "citus"
