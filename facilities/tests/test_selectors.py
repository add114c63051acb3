"""The read interface: shapes, downsampling, query counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from facilities.models import Hall, Point
from facilities.selectors import asset_context, hall_overview, latest_values, point_series

from .conftest import ago

pytestmark = pytest.mark.django_db


@pytest.fixture
def values(push) -> None:
    push(
        ("rack-a.inlet_c", 24.5),
        ("rack-b.inlet_c", 28.0),
        ("rack-a.power_w", 4000.0),
        ("crac-a.running", 1.0),
        ("crac-a.fault", 0.0),
        ("crac-a.supply_c", 18.0),
        ("room-1.pue", 1.31),
        ("room-1.it_power_w", 50_000.0),
    )


def test_it_gives_latest_values(values, django_assert_num_queries):
    with django_assert_num_queries(1):
        found = latest_values(tags=["rack-a.inlet_c", "rack-a.power_w", "nothing.there"])
    assert set(found) == {"rack-a.inlet_c", "rack-a.power_w"}
    value = found["rack-a.inlet_c"]
    assert (value.asset, value.quantity, value.unit, value.value, value.quality) == (
        "rack-a",
        "inlet_c",
        "Cel",
        24.5,
        1,
    )
    with django_assert_num_queries(1):
        assert len(latest_values()) == 8


def test_it_gives_a_series_as_it_was_stored(push, django_assert_num_queries):
    now = datetime.now(UTC)
    push(
        *[("rack-a.inlet_c", (now - timedelta(seconds=s)).isoformat(), 20.0 + s) for s in range(5)]
    )
    with django_assert_num_queries(2):
        series = point_series(tag="rack-a.inlet_c", start=now - timedelta(seconds=3), end=now)
    assert series.values == [23.0, 22.0, 21.0, 20.0]
    assert series.ts == pytest.approx([now.timestamp() - s for s in (3, 2, 1, 0)], abs=1e-5)
    assert series.unit == "Cel"


def test_it_keeps_the_extremes_when_it_downsamples(push, django_assert_num_queries):
    now = datetime.now(UTC)
    rows = [(now - timedelta(seconds=2 * i), 20.0 + (i % 7) / 10) for i in range(2_000)]
    rows[777] = (rows[777][0], 65.0)
    rows[1234] = (rows[1234][0], -5.0)
    push(*[("rack-a.inlet_c", ts.isoformat(), value) for ts, value in rows])
    with django_assert_num_queries(3):
        series = point_series(
            tag="rack-a.inlet_c", start=now - timedelta(hours=2), end=now, max_points=100
        )
    assert 40 <= len(series.values) <= 100
    values = [value for value in series.values if value is not None]
    assert (max(values), min(values)) == (65.0, -5.0)
    assert series.ts == sorted(series.ts)


def test_it_refuses_a_series_that_makes_no_sense(small_facility):
    now = datetime.now(UTC)
    with pytest.raises(ValueError, match="is not before"):
        point_series(tag="rack-a.inlet_c", start=now, end=now)
    with pytest.raises(ValueError, match="max_points 1"):
        point_series(tag="rack-a.inlet_c", start=now - timedelta(1), end=now, max_points=1)
    with pytest.raises(Point.DoesNotExist):
        point_series(tag="x.y", start=now - timedelta(1), end=now)


def test_it_gives_the_hall_at_a_glance(values, django_assert_num_queries):
    with django_assert_num_queries(4):
        hall = hall_overview()
    assert (hall.slug, hall.width_m, hall.pue, hall.it_power_w) == ("room-1", 6.0, 1.31, 50_000.0)
    assert [(r.tag, r.inlet_c, r.power_w, r.servers) for r in hall.racks] == [
        ("rack-a", 24.5, 4000.0, 3),
        ("rack-b", 28.0, None, 0),
    ]
    assert (hall.max_inlet_c, hall.max_inlet_rack) == (28.0, "rack-b")
    assert (hall.cracs[0].running, hall.cracs[0].fault, hall.cracs[0].x_m) == (True, False, 1)


def test_it_gives_a_hall_without_readings(small_facility):
    hall = hall_overview(hall_slug="room-1")
    assert (hall.max_inlet_c, hall.pue, hall.ts) == (None, None, None)
    with pytest.raises(Hall.DoesNotExist):
        hall_overview(hall_slug="nowhere")


def test_it_gives_an_asset_with_what_surrounds_it(values, django_assert_num_queries):
    with django_assert_num_queries(6):
        context = asset_context(tag="crac-a")
    assert {value.quantity for value in context.values} == {"running", "fault", "supply_c"}
    assert [(n.tag, n.direction) for n in context.neighbours["cooling"]] == [
        ("rack-a", "downstream"),
        ("rack-b", "downstream"),
    ]
    server = asset_context(tag="srv-01")
    assert [n.tag for n in server.neighbours["part_of"]] == ["srv-01-gpu-0", "srv-01-gpu-1"]


def test_it_returns_times_with_zone(push):
    push(("rack-a.inlet_c", ago(5), 20.0))
    assert latest_values()["rack-a.inlet_c"].ts.tzinfo is not None
