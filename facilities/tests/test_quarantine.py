"""Quarantine: kept once with its reason, bounded with counts, replayed exactly once."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.db import connection
from django.utils import timezone

from facilities.ingest import quarantine as store
from facilities.ingest.samples import Rejected, samples_of
from facilities.models import (
    Converter,
    Point,
    QuarantinedItem,
    QuarantineDrops,
    Reading,
    Source,
)
from facilities.services.quarantine import (
    quarantine_discard,
    quarantine_found,
    quarantine_prune,
    quarantine_replay,
)
from facilities.services.sources import source_create

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC)


@pytest.fixture
def source(small_facility) -> Source:
    return source_create(name="agent").source


def put(source: Source, *rows: tuple[str, float], code="unknown_point", text=None) -> int:
    now_us = time.time_ns() // 1_000
    samples = samples_of([(key, now_us - i * 1_000, value) for i, (key, value) in enumerate(rows)])
    samples.text = text or {}
    rejected = [
        Rejected(i, code, f"point {key!r} is unknown", samples.raw(i))
        for i, (key, _) in enumerate(rows)
    ]
    with connection.cursor() as cursor:
        return store.quarantine_store(
            cursor, store.quarantine_items(source.pk, samples, rejected, NOW)
        )


def replay(**filters):
    return quarantine_replay(items=quarantine_found(**filters))


def test_it_keeps_what_a_push_could_not_take(push, token):
    response = push(("rack-z.inlet_c", 20.0), ("rack-a.inlet_c", 20.0))
    assert response.json()["accepted"] == 1
    item = QuarantinedItem.objects.get()
    assert (item.series, item.value, item.code) == ("rack-z.inlet_c", 20.0, "unknown_point")
    assert item.source.name == "bms"


def test_it_stores_a_repeated_item_once(source):
    now_us = time.time_ns() // 1_000
    samples = samples_of([("t", now_us, 1.0)])
    items = store.quarantine_items(source.pk, samples, [Rejected(0, "x", "y", "raw")], NOW)
    with connection.cursor() as cursor:
        assert store.quarantine_store(cursor, items * 3) == 1
        assert store.quarantine_store(cursor, items) == 0


def test_it_stores_hostile_text(source):
    rejected = [Rejected(0, "malformed", "a\0b\ud800" * 400, "\0" * 5_000)]
    with connection.cursor() as cursor:
        store.quarantine_store(cursor, store.quarantine_items(source.pk, None, rejected, NOW))
    item = QuarantinedItem.objects.get()
    assert len(item.raw) == store.MAX_RAW
    assert not item.replayable


def test_it_counts_what_a_flood_loses(source, monkeypatch):
    monkeypatch.setattr(store, "MAX_PER_MINUTE", 5)
    assert put(source, *((f"t{i}", 1.0) for i in range(9))) == 5
    assert QuarantineDrops.objects.get().count == 4


def test_it_replays_after_the_converter_is_fixed_exactly_once(source):
    put(source, ("t1", 20.0), ("t2", 30.0), ("other", 1.0))
    assert replay().reasons == {"unknown_point": 3}
    Converter.objects.create(
        source=source,
        document="rules: [{series: t1, point: rack-a.inlet_c}, {series: t2, point: rack-b.inlet_c}]",
    )
    result = replay()
    assert (result.tried, result.stored, result.waiting) == (3, 2, 1)
    assert sorted(Reading.objects.values_list("value", flat=True)) == [20.0, 30.0]
    assert set(Reading.objects.values_list("quality", flat=True)) == {1}
    assert replay().tried == 1
    assert Reading.objects.count() == 2


def test_it_says_why_an_item_waits_on(source):
    put(source, ("t", 500.0))
    Converter.objects.create(source=source, document="rules: [{series: t, point: rack-a.inlet_c}]")
    assert replay().reasons == {"out_of_range": 1}
    item = QuarantinedItem.objects.get()
    assert (item.code, item.attempts) == ("out_of_range", 1)
    assert "above its range" in item.detail


def test_it_counts_a_reading_that_exists_as_repeated(source):
    put(source, ("t", 20.0))
    Converter.objects.create(source=source, document="rules: [{series: t, point: rack-a.inlet_c}]")
    assert replay().stored == 1
    QuarantinedItem.objects.update(state="waiting")
    result = replay()
    assert (result.stored, result.repeated) == (0, 1)
    assert Reading.objects.count() == 1


def test_it_replays_texts(source):
    put(source, ("state", np.nan), text={0: "running"})
    Converter.objects.create(
        source=source,
        document="rules: [{series: state, point: crac-a.running, values: {running: 1}}]",
    )
    assert replay().stored == 1


def test_it_registers_on_replay_where_the_source_may(source):
    put(source, ("new.temp_c", 20.0))
    Source.objects.update(auto_register=True)
    assert replay().stored == 1
    assert Point.objects.get(tag="new.temp_c").auto_registered


def test_it_replays_only_what_the_filter_finds(source):
    put(source, ("t1", 1.0), ("t2", 2.0))
    other = source_create(name="other").source
    put(other, ("t1", 1.0))
    assert quarantine_found(source="agent").count() == 2
    assert quarantine_found(search="t2").count() == 1
    assert quarantine_found(code="bad_value").count() == 0
    assert quarantine_found(since=NOW + timedelta(hours=1)).count() == 0
    assert replay(source="agent", search="t1").tried == 1


def test_it_discards_and_forgets_after_a_week(source):
    put(source, ("t1", 1.0), ("t2", 2.0))
    assert quarantine_discard(items=quarantine_found(search="t1")) == 1
    assert replay().tried == 1
    QuarantinedItem.objects.filter(state="discarded").update(
        decided_at=timezone.now() - timedelta(days=8)
    )
    assert quarantine_prune() == 0
    assert QuarantinedItem.objects.count() == 1
    assert not QuarantineDrops.objects.exists()


def test_it_keeps_within_its_bounds_and_counts_each_drop(source):
    put(source, *((f"t{i}", 1.0) for i in range(10)))
    QuarantinedItem.objects.filter(series__in=["t0", "t1"]).update(at=NOW - timedelta(days=40))
    assert quarantine_prune(most=5) == 5
    assert dict(QuarantineDrops.objects.values_list("reason", "count")) == {"age": 2, "count": 3}
    assert QuarantinedItem.objects.count() == 5
    assert quarantine_prune(most=5) == 0
