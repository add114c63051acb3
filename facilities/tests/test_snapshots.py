"""Consistent snapshots: watermarks, the barrier, who made everyone wait, and what is read."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facilities import partitions
from facilities.models import Barrier, LatestReading, Point, Reading, Source
from facilities.services.sources import source_create
from facilities.snapshots import probe, snapshot, watermarks
from facilities.snapshots.barrier import KEPT, PROBE_TIMEOUT_S, arrivals_at

T = datetime(2026, 3, 1, 12, tzinfo=UTC)


def store(tag: str, ts: datetime, value: float, *, source: Source, late_s: float = 0.1, quality=1):
    """One reading as it is after its commit, received ``late_s`` after it was taken."""
    point = Point.objects.get(tag=tag)
    partitions.ensure_partitions([ts.date()])
    received = ts + timedelta(seconds=late_s)
    Reading(
        point=point, ts=ts, value=value, quality=quality, source=source, received_at=received
    ).save(force_insert=True)
    newest = LatestReading.objects.filter(pk=point.pk).first()
    if newest is None or newest.ts < ts:
        LatestReading(point=point, ts=ts, value=value, quality=quality, received_at=received).save()


def seconds(number: float) -> datetime:
    return T + timedelta(seconds=number)


@pytest.fixture
def bms(small_facility) -> Source:
    return source_create(name="bms").source


@pytest.fixture
def snmp(small_facility) -> Source:
    return source_create(name="snmp").source


@pytest.mark.django_db
def test_it_takes_the_slowest_point_as_the_watermark_of_its_source(
    bms, snmp, django_assert_num_queries
):
    store("rack-a.inlet_c", seconds(0), 20, source=bms)
    store("rack-a.power_w", seconds(-3), 4000, source=bms)
    store("rack-b.inlet_c", seconds(1), 20, source=snmp)
    store("room-1.pue", seconds(-900), 1.3, source=snmp)
    store("crac-a.running", seconds(-4000), 1, source=bms)  # by event: nobody waits for it
    with django_assert_num_queries(1):
        found = {mark.source: mark for mark in watermarks(at=T)}
    assert (found["bms"].upto, found["bms"].holder) == (seconds(-1), "rack-a.power_w")
    assert (found["bms"].points, found["bms"].silent) == (2, 0)
    assert (found["snmp"].upto, found["snmp"].points, found["snmp"].silent) == (seconds(3), 1, 1)


@pytest.mark.django_db
def test_it_reads_the_value_at_or_before_the_time(bms):
    for second, pushed in ((-4, 20.0), (-2, 21.0), (0, 22.0), (2, 23.0)):
        store(
            "rack-a.inlet_c", seconds(second), pushed, source=bms, quality=3 if second == 0 else 1
        )
    store("rack-b.inlet_c", seconds(-30), 25.0, source=bms)
    store("rack-a.power_w", seconds(5), 4000.0, source=bms)
    found = snapshot(at=seconds(1), mode="latest")
    assert set(found.values) == {"rack-a.inlet_c", "rack-b.inlet_c"}  # power came only later
    value = found.values["rack-a.inlet_c"]
    assert (value.value, value.ts, value.quality, value.age_s) == (22.0, T, 3, 1.0)
    assert (value.asset, value.quantity, value.unit, value.stale) == (
        "rack-a",
        "inlet_c",
        "Cel",
        False,
    )
    assert not found.complete
    assert snapshot(at=seconds(45), mode="latest").values["rack-b.inlet_c"].stale
    assert set(snapshot(at=seconds(9), mode="latest", tags=["rack-a.power_w"]).values) == {
        "rack-a.power_w"
    }


@pytest.mark.django_db
def test_it_does_not_wait_when_all_are_in(bms, snmp):
    now = datetime.now(UTC)
    store("rack-a.inlet_c", now - timedelta(seconds=0.5), 20, source=bms)
    store("rack-b.inlet_c", now - timedelta(seconds=1), 20, source=snmp)
    found = snapshot(reader="test")
    assert (found.complete, found.waited_s, found.slowest, found.missing) == (True, 0.0, "", [])
    assert len(found.values) == 2
    assert not Barrier.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_it_waits_for_the_late_source_and_says_who_it_was(bms, snmp, clean_readings):
    now = datetime.now(UTC)
    store("rack-a.inlet_c", now, 20, source=bms)
    store("rack-b.inlet_c", now - timedelta(seconds=10), 24, source=snmp)

    def arrive():
        time.sleep(0.4)
        store("rack-b.inlet_c", now - timedelta(seconds=0.1), 29, source=snmp)
        connection.close()

    thread = threading.Thread(target=arrive)
    thread.start()
    found = snapshot(reader="agent", timeout_s=5)
    thread.join()
    assert found.complete
    assert found.values["rack-b.inlet_c"].value == 29
    assert 0.3 < found.waited_s < 2
    kept = Barrier.objects.get()
    assert (kept.reader, kept.slowest, kept.complete) == ("agent", "snmp", True)
    assert kept.held_s == pytest.approx(found.waited_s)
    assert {s["name"]: s["delay_s"] == 0 for s in kept.sources} == {"bms": True, "snmp": False}


@pytest.mark.django_db
def test_it_stops_waiting_and_names_who_is_missing(bms, snmp):
    now = datetime.now(UTC)
    store("rack-a.inlet_c", now, 20, source=bms)
    store("rack-b.inlet_c", now - timedelta(seconds=10), 24, source=snmp)
    found = snapshot(timeout_s=0.25, reader="agent")
    assert (found.complete, found.missing, found.slowest) == (False, ["snmp"], "snmp")
    assert 0.25 <= found.waited_s < 1
    assert found.values["rack-b.inlet_c"].value == 24
    assert Barrier.objects.get().sources[1]["holder"] == "rack-b.inlet_c"


@pytest.mark.django_db
def test_it_refuses_what_makes_no_sense(small_facility):
    with pytest.raises(ValueError, match="is in the future"):
        snapshot(at=datetime.now(UTC) + timedelta(seconds=30))
    with pytest.raises(ValueError, match="mode 'best'"):
        snapshot(mode="best")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="timeout_s 31"):
        snapshot(timeout_s=31)


@pytest.mark.django_db
def test_it_finds_out_afterwards_who_would_have_held_up_everyone(bms, snmp):
    """A barrier at T + 10 s: settled by the first reading later than T + 10 s - 2 s."""
    at = seconds(10)
    for second in (8, 10, 12):
        store("rack-a.inlet_c", seconds(second), 20, source=bms, late_s=0.5)
        store("rack-b.inlet_c", seconds(second), 20, source=snmp, late_s=4.0)
    store("room-1.pue", seconds(-900), 1.3, source=snmp)
    arrivals = {a.source: a for a in arrivals_at(at, timeout_s=10)}
    assert (arrivals["bms"].delay_s, arrivals["bms"].silent) == (0.0, 0)
    assert (arrivals["snmp"].delay_s, arrivals["snmp"].silent) == (2.0, 1)
    assert arrivals["snmp"].holder == "rack-b.inlet_c"
    kept = probe(now=at + timedelta(seconds=PROBE_TIMEOUT_S))
    assert kept is not None
    assert (kept.at, kept.complete, kept.slowest) == (at, True, "snmp")
    assert (kept.waited_s, kept.held_s) == (2.0, 2.0)


@pytest.mark.django_db
def test_it_blames_the_source_that_never_came(bms, snmp):
    at = seconds(10)
    store("rack-a.inlet_c", seconds(11), 20, source=bms, late_s=0.5)
    store("rack-b.inlet_c", seconds(1), 20, source=snmp)
    kept = probe(now=at + timedelta(seconds=PROBE_TIMEOUT_S))
    assert kept is not None
    assert (kept.complete, kept.slowest, kept.waited_s) == (False, "snmp", PROBE_TIMEOUT_S)
    assert kept.held_s == pytest.approx(PROBE_TIMEOUT_S - 1.5)


@pytest.mark.django_db
def test_it_forgets_old_barriers_and_does_nothing_without_readings(small_facility, bms):
    assert probe(now=T) is None
    store("rack-a.inlet_c", T, 20, source=bms)
    first = probe(now=seconds(5))
    assert first is not None
    probe(now=T + KEPT + timedelta(seconds=30))
    assert not Barrier.objects.filter(pk=first.pk).exists()
    assert Barrier.objects.count() == 1


@pytest.mark.django_db
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    arrived=st.lists(
        st.tuples(st.sampled_from(["rack-a.inlet_c", "rack-b.inlet_c"]), st.integers(0, 20)),
        unique=True,
        min_size=1,
    ),
    at=st.integers(0, 24),
)
def test_it_reads_the_newest_reading_not_after_the_time_whatever_came(bms, arrived, at):
    Reading.objects.all().delete()
    LatestReading.objects.all().delete()
    for tag, second in arrived:
        store(tag, seconds(second), second + 0.5, source=bms)
    expected: dict[str, float] = {}
    for tag, second in arrived:
        if second <= at:
            expected[tag] = max(expected.get(tag, 0.0), second + 0.5)
    found = snapshot(at=seconds(at), mode="latest")
    assert {tag: value.value for tag, value in found.values.items()} == expected
