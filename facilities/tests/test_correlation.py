"""What moved with a point: the numbers, the plant's graph, API and page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.db import connection
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from facilities import partitions
from facilities.correlation import correlate, fetch, plant
from facilities.correlation.core import changes, lagged
from facilities.correlation.graph import MAX_STEPS, neighbours, reach
from facilities.correlation.significance import (
    certain_part,
    effective_pairs,
    false_discovery,
    p_values,
    prior_weight,
    proximity,
)
from facilities.models import Alarm, AlarmRule, Point

HOUR = timedelta(hours=1)
END = datetime.now(UTC).replace(second=0, microsecond=0)
START = END - HOUR


def memory(random: np.random.Generator, phi: float, points: int, steps: int) -> np.ndarray:
    """First-order autoregressive series [points, steps], settled."""
    shocks = random.normal(size=(points, steps + 300))
    out = np.zeros_like(shocks)
    for at in range(1, steps + 300):
        out[:, at] = phi * out[:, at - 1] + shocks[:, at]
    return out[:, 300:]


def direct(target: np.ndarray, series: np.ndarray, lag: int) -> float:
    """Pearson's r of the pairs (target[t], series[t + lag]) that are both known."""
    n = len(target)
    pairs = [
        (target[t], series[t + lag])
        for t in range(n)
        if 0 <= t + lag < n and np.isfinite(target[t]) and np.isfinite(series[t + lag])
    ]
    return float(np.corrcoef(np.array(pairs).T)[0, 1])


def test_it_agrees_with_pearson_at_the_lag_it_names_with_gaps():
    random = np.random.default_rng(3)
    target = memory(random, 0.8, 1, 90)[0]
    series = np.stack([np.roll(target, lag) for lag in (-7, 0, 5)]) + random.normal(size=(3, 90))
    series[random.random(series.shape) < 0.1] = np.nan
    found = lagged(target, series, 12)
    assert found.lag.tolist() == [-7, 0, 5]
    for row in range(3):
        wanted = direct(target, series[row], int(found.lag[row]))
        assert found.r[row] == pytest.approx(wanted, abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    scale=st.floats(1e-3, 1e6),
    offset=st.floats(-1e6, 1e6),
    lag=st.integers(-8, 8),
)
def test_it_does_not_care_about_unit_and_offset(seed, scale, offset, lag):
    random = np.random.default_rng(seed)
    target = random.normal(size=80)
    series = np.full((1, 80), np.nan)
    if lag >= 0:
        series[0, lag:] = target[: 80 - lag]
    else:
        series[0, :lag] = target[-lag:]
    found = lagged(target, -series * scale + offset, 8)
    assert found.lag[0] == lag
    assert found.r[0] == pytest.approx(-1.0, abs=1e-3)


def test_it_says_nothing_about_what_is_constant_or_missing():
    target = np.sin(np.arange(60) / 5)
    found = lagged(target, np.stack([np.full(60, 7.25), np.full(60, np.nan)]), 5)
    assert found.r.tolist() == [0.0, 0.0]
    assert lagged(np.full(60, 3.0), target[None, :], 5).r[0] == 0.0


@pytest.mark.parametrize("phi", [0.0, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("width", [0, 12])
def test_it_does_not_take_strangers_for_relatives(phi, width):
    """p < 0.01 happens to at most about 1 % of strangers, whatever their memory; q lists none."""
    random = np.random.default_rng(int(phi * 100) + width)
    series, target = memory(random, phi, 3_000, 360), memory(random, phi, 1, 360)[0]
    if width:
        series, target = changes(series, width), changes(target, width)
    found = lagged(target, series, 60)
    effective = effective_pairs(target, series, found.pairs)
    p = p_values(found.r, effective, 121, found.pairs)
    assert (p < 0.01).mean() < 0.02
    q = false_discovery(p, np.ones(len(p)), len(p))
    assert ((q < 0.05) & (np.abs(found.r) >= 0.5)).sum() == 0


def test_it_takes_doubt_off_and_prefers_the_near():
    certain = certain_part(np.array([0.9, 0.9, 0.9]), np.array([5.0, 20.0, 200.0]))
    assert certain[0] < certain[1] < certain[2] < 0.9
    assert certain_part(np.array([0.99]), np.array([3.0]))[0] == 0.0
    near = proximity(np.array([0.0, 1.0, 4.0, np.inf]))
    assert near[0] == 1.0
    assert (np.diff(near) < 0).all()
    assert prior_weight(np.array([0.0, 1.0, np.inf])).mean() == pytest.approx(1.0)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=30))
def test_it_finds_shortest_paths(edges):
    edges = [(a, b) for a, b in edges if a != b]
    graph = neighbours(edges)
    found = reach(0, graph)
    for node, steps in found.items():
        assert steps.path[0] == 0 and steps.path[-1] == node
        assert len(steps.path) == steps.distance + 1 <= MAX_STEPS + 1
        for a, b in zip(steps.path, steps.path[1:], strict=False):
            assert b in graph[a]
        for other in graph.get(node, ()):
            if steps.distance < MAX_STEPS:
                assert found[other].distance <= steps.distance + 1


@pytest.fixture
def hour(small_facility) -> None:
    """An hour in which crac-a's supply leads rack-a's inlet by 90 s, and nothing else moves along."""
    random = np.random.default_rng(8)
    n = 720
    rise = 6.0 * np.clip((np.arange(n) - 400) / 60, 0, 1)
    wave = memory(random, 0.97, 1, n)[0] * 0.3
    supply = 18 + rise + wave
    inlet = 22 + 0.7 * np.r_[np.full(18, supply[0] - 18), (supply - 18)[:-18]]
    store("crac-a.supply_c", supply + random.normal(size=n) * 0.05)
    store("rack-a.inlet_c", inlet + random.normal(size=n) * 0.05)
    store("rack-b.inlet_c", 23 + memory(random, 0.9, 1, n)[0] * 0.2)
    store("rack-b.power_w", np.full(n, 3_000.0))
    fetch.forget()
    plant.forget()


def store(tag: str, values: np.ndarray, quality: int = 1) -> None:
    point = Point.objects.get(tag=tag)
    partitions.ensure_partitions({START.date(), END.date()})
    step = HOUR / len(values)
    rows = [(point.pk, START + step * n, float(v), quality, END) for n, v in enumerate(values)]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO facilities_reading (point_id, ts, value, quality, received_at) "
            "VALUES (%s, %s, %s, %s, %s)",
            rows,
        )


@pytest.mark.django_db
def test_it_finds_the_leader_with_lag_distance_and_reason(hour):
    found = correlate(tag="rack-a.inlet_c", start=START, end=END)
    assert [match.tag for match in found.matches] == ["crac-a.supply_c"]
    match = found.matches[0]
    assert match.lag_s == pytest.approx(-90, abs=10)
    assert match.r > 0.9
    assert (match.distance, match.path) == (1, ["rack-a", "crac-a"])
    assert match.score == pytest.approx(match.certain * match.proximity, abs=1e-3)
    assert "earlier" in match.why and "rack-a → crac-a" in match.why
    assert len(match.overlay) == len(found.ts) == len(found.overlay)
    both = [(a, b) for a, b in zip(found.overlay, match.overlay, strict=True) if None not in (a, b)]
    assert np.corrcoef(np.array(both).T)[0, 1] > 0.9  # shifted by the lag, they lie on one another


@pytest.mark.django_db
def test_it_reads_minutes_from_the_rollups_and_the_rest_from_readings(hour):
    from facilities.rollups import job, mark

    minutes = range(int(START.timestamp()) // 60, int(END.timestamp()) // 60 - 10)
    with connection.cursor() as cursor:
        mark(cursor, list(minutes))
    job.run(now=END)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(DISTINCT ts) FROM facilities_rollup_1m")
        assert cursor.fetchone()[0] == 50
        cursor.execute(
            "DELETE FROM facilities_reading WHERE ts < %s", [END - timedelta(minutes=20)]
        )
    matrix = fetch.facility(fetch.Grid.over(START, END, 60.0))
    assert np.isfinite(np.asarray(matrix.row(Point.objects.get(tag="rack-a.inlet_c").pk))).all()


@pytest.mark.django_db
def test_it_leaves_out_readings_that_failed(small_facility):
    values = np.sin(np.arange(360) / 20)
    store("crac-a.supply_c", values)
    store("rack-a.inlet_c", values, quality=4)
    fetch.forget()
    plant.forget()
    found = correlate(tag="crac-a.supply_c", start=START, end=END)
    assert found.matches == []
    assert found.reason.startswith("nothing else moved")
    assert "no usable readings" in correlate(tag="rack-a.inlet_c", start=START, end=END).reason


@pytest.mark.django_db
def test_it_refuses_windows_and_lags_it_cannot_serve(hour):
    with pytest.raises(ValueError, match="is not from 120 s"):
        correlate(tag="rack-a.inlet_c", start=END - timedelta(seconds=30), end=END)
    with pytest.raises(ValueError, match="max_lag_s"):
        correlate(tag="rack-a.inlet_c", start=START, end=END, max_lag_s=3_000)
    with pytest.raises(Point.DoesNotExist):
        correlate(tag="no.such", start=START, end=END)


@pytest.mark.django_db
def test_it_answers_over_rest_with_pinned_queries(
    hour, client_as, viewer, django_assert_num_queries
):
    client = client_as(viewer)
    path = (
        f"/api/v1/points/rack-a.inlet_c/correlated?start={START.timestamp()}&end={END.timestamp()}"
    )
    client.get(path)
    fetch.forget()
    with django_assert_num_queries(3):  # session, user, data list version; two more are binary
        body = client.get(path).json()
    assert body["matches"][0]["tag"] == "crac-a.supply_c"
    assert body["points"] == 4
    assert client.get(path + "&max_lag_s=9999").json()["code"]
    assert client.get("/api/v1/points/no.such/correlated").status_code == 404
    assert client.get(path + "&limit=0").status_code == 400
    assert Client().get(path).status_code in (401, 403)


@pytest.fixture
def alarm(hour) -> Alarm:
    rule = AlarmRule.objects.get(name="Rack inlet high")
    return Alarm.objects.create(
        point=Point.objects.get(tag="rack-a.inlet_c"), rule=rule, severity="high",
        message="Inlet air is too warm", value=27.5, peak_value=28, raised_at=END - timedelta(minutes=15),
    )  # fmt: skip


@pytest.mark.django_db
def test_it_starts_from_an_alarm(alarm, client_as, viewer):
    body = client_as(viewer).get(f"/api/v1/alarms/{alarm.pk}/correlated").json()
    assert [match["tag"] for match in body["matches"]] == ["crac-a.supply_c"]
    assert client_as(viewer).get("/api/v1/alarms/999999/correlated").status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["viewer", "operator", "supervisor", "admin"])
def test_it_shows_the_page_to_everyone_signed_in(request, alarm, client_as, role):
    client = client_as(request.getfixturevalue(role))
    window = f"?start={START.isoformat()}&end={END.isoformat()}".replace("+00:00", "Z")
    body = client.get(f"/points/rack-a.inlet_c/correlated/{window}").content.decode()
    assert "crac-a.supply_c" in body and "1 min 30 s earlier" in body
    assert "style=" not in body.split("<main", 1)[1]
    assert "crac-a.supply_c" in client.get(f"/alarms/{alarm.pk}/correlated/").content.decode()


@pytest.mark.django_db
def test_it_explains_empty_and_impossible_windows_on_the_page(hour, client_as, viewer):
    client = client_as(viewer)
    odd = client.get("/points/rack-a.inlet_c/correlated/?start=yesterday")
    assert odd.status_code == 200 and "cannot be compared" in odd.content.decode()
    short = client.get("/points/rack-a.inlet_c/correlated/?minutes=1").content.decode()
    assert "cannot be compared" in short
    still = client.get(
        f"/points/rack-b.power_w/correlated/?start={START.timestamp()}&end={END.timestamp()}"
    )
    assert "did not change" in still.content.decode()
    assert client.get("/points/no.such/correlated/").status_code == 404
    assert client.get("/points/a%00b/correlated/").status_code == 404
    assert Client().get("/points/rack-a.inlet_c/correlated/").status_code == 302
