"""GPU and rack pages, their endpoints, and what the limits cost, from stored readings."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.test import Client

from facilities.gpus.control import gpu_control
from facilities.gpus.loss import gpu_loss
from facilities.gpus.racks import sensor_gap
from facilities.gpus.read import gpu_row, gpu_rows, matching
from facilities.loader import load_facility
from facilities.models import Asset
from facilities.services.sources import source_create
from facilities.twin.gpu.nvml import REASONS

from .conftest import ago

pytestmark = pytest.mark.django_db
GPU = "srv-05-gpu-3"
PAGES = ["/gpus/", f"/gpus/{GPU}/", "/racks/rack-1-04/", "/racks/rack-1-01/"]
READ = [
    "/api/v1/gpus/",
    f"/api/v1/gpus/{GPU}/control",
    f"/api/v1/gpus/{GPU}/loss",
]
SITE = Path(__file__).parent / "gpus.yaml"
Moment = tuple[float, dict[str, float]]
HEALTHY = {"temp_c": 65.0, "power_w": 590.0, "util_pct": 80.0, "sm_clock_mhz": 1980.0}


@pytest.fixture
def hall(db: None) -> None:
    """Three racks, two servers, nine GPUs; see gpus.yaml."""
    load_facility(path=SITE)


@pytest.fixture
def feed(hall: None) -> Callable[..., None]:
    """Push readings of an asset: ``feed("srv-05-gpu-3", temp_c=88)``; ``more`` are earlier ones,
    (seconds ago, {quantity: value}).
    """
    token = source_create(name="bms").token

    def send(
        asset: str, *, seconds: float = 1, more: list[Moment] | None = None, **values: float
    ) -> None:
        items = [
            {"point": f"{asset}.{name}", "ts": ago(back), "value": value}
            for back, found in [*(more or []), (seconds, values)]
            for name, value in found.items()
        ]
        response = Client().post(
            "/api/v1/readings",
            data=json.dumps({"readings": items}),
            content_type="application/json",
            headers={"authorization": f"Token {token}"},
        )
        assert response.json()["rejected"] == []

    return send


@pytest.fixture
def plant(feed) -> Callable[..., None]:
    """One rack with a healthy and a hot GPU, a second GPU lost."""
    feed(
        "rack-1-04", inlet_c=24.0, outlet_c=36.0, power_w=26_000, load_cap_pct=100, inlet_rh_pct=45
    )
    feed("srv-05", power_w=6_300, fan_pct=55, inlet_c=24)
    feed("srv-05-gpu-0", **HEALTHY, throttle_reasons=0, power_limit_w=700, xid=0)
    feed(GPU, **HEALTHY | {"temp_c": 87.0, "sm_clock_mhz": 1600.0, "power_w": 430.0})
    feed(GPU, throttle_reasons=0x20, power_limit_w=700, xid=0)
    feed("srv-05-gpu-4", temp_c=30, power_w=0, xid=79)
    return feed


@pytest.mark.parametrize("role", ["viewer", "operator", "supervisor", "admin"])
def test_it_shows_everyone_who_is_signed_in(request, client_as, plant, role):
    client = client_as(request.getfixturevalue(role))
    for path in PAGES:
        response = client.get(path)
        assert response.status_code == 200
        body = response.content.decode()
        assert "style=" not in body.split("<main", 1)[1]
        assert not re.search(r"<script(?![^>]*(src=|application/json))", body)
    assert all(client.get(path).status_code == 200 for path in READ)


def test_it_shows_strangers_nothing(hall):
    for path in PAGES:
        response = Client().get(path)
        assert response.status_code == 302
        assert response["Location"].startswith("/login/")
    for path in [*READ, "/api/v1/racks/rack-1-04/twin"]:
        response = Client().get(path)
        assert response.status_code in (401, 403)
        assert set(response.json()) == {"code", "detail"}


def test_it_answers_404_for_what_is_not_there(client_as, viewer, hall):
    client = client_as(viewer)
    for path in ("/gpus/crac-1/", "/gpus/a%00b/", "/racks/none/", "/racks/a%00b/"):
        assert client.get(path).status_code == 404
    for path in ("gpus/none/control", "gpus/a%00b/loss", "racks/none/twin"):
        response = client.get(f"/api/v1/{path}")
        assert response.status_code == 404
        assert set(response.json()) == {"code", "detail"}


def test_it_lists_lost_and_limited_gpus_first(plant):
    rows = gpu_rows()
    assert len(rows) == 9
    assert [row.tag for row in rows[:2]] == ["srv-05-gpu-4", GPU]
    assert (rows[0].label, rows[1].label) == ("lost", "sw_thermal")
    assert rows[1].speed == pytest.approx(1600 / 1980)
    assert rows[1].margin_k == 0
    assert [row.tag for row in matching(rows, limited=True)] == ["srv-05-gpu-4", GPU]
    assert len(matching(rows, search="rack-1-04 srv-05")) == 8


def test_it_says_a_limit_by_temperature_where_no_reasons_are_read(feed):
    feed(GPU, temp_c=88)
    assert gpu_row(tag=GPU).label == "sw_thermal"
    feed(GPU, temp_c=90, seconds=0)
    assert gpu_row(tag=GPU).label == "hw_thermal"


def test_it_pages_and_filters_the_endpoint(client_as, viewer, plant):
    client = client_as(viewer)
    page = client.get("/api/v1/gpus/?page_size=5").json()
    assert page["count"] == 9
    assert len(page["results"]) == 5
    first = page["results"][1]
    assert first["reasons"] == ["sw_thermal"]
    assert (first["in_charge"], first["limited"], first["model"]) == (
        "sw_thermal",
        True,
        "H100 SXM",
    )
    assert client.get("/api/v1/gpus/?limited=true").json()["count"] == 2
    assert client.get("/api/v1/gpus/?limited=perhaps").status_code == 400


def test_it_needs_few_queries(client_as, viewer, plant, django_assert_max_num_queries):
    client = client_as(viewer)
    for path, most in (
        ("/gpus/", 6),
        ("/api/v1/gpus/", 4),
        (f"/gpus/{GPU}/", 11),
        ("/racks/rack-1-04/", 18),
        (f"/api/v1/gpus/{GPU}/control", 8),
        (f"/api/v1/gpus/{GPU}/loss", 7),
    ):
        with django_assert_max_num_queries(most):
            assert client.get(path).status_code == 200


def test_it_puts_the_model_onto_the_readings(plant):
    control = gpu_control(gpu=gpu_row(tag=GPU), duration_s=120)
    now = {outcome.key: outcome for outcome in control.outcomes}["now"]
    assert control.around.medium == "rack-1-04.inlet_c"
    assert control.fit.resistance > 1.5  # 63 K over the inlet at 430 W: a fouled heat path
    # what runs on simulates the same state: thermally limited, near the clock that was read
    assert now.limits.keys() == {"sw_thermal"}
    assert now.temp_c == pytest.approx(87.0, abs=1.0)
    assert now.power_w == pytest.approx(430.0, rel=0.05)


def test_it_ranks_what_would_help(plant):
    control = gpu_control(gpu=gpu_row(tag=GPU))
    gains = {outcome.key: outcome.gain_pct or 0.0 for outcome in control.outcomes}
    assert gains["cooler"] > 0.5
    assert gains["fans"] > gains["cooler"]
    whole = {outcome.key: outcome.throughput_pct for outcome in control.outcomes}
    assert whole["paste"] == pytest.approx(100.0, abs=1.5)
    assert control.throttles_from_c < 24.0
    healthy = gpu_control(gpu=gpu_row(tag="srv-05-gpu-0"))
    assert healthy.throttles_from_c > 35.0
    assert healthy.outcomes[0].limits == {}


def test_it_simulates_what_the_operator_sets(client_as, viewer, plant):
    client = client_as(viewer)
    path = f"/api/v1/gpus/{GPU}/control?duration_s=60"
    plain = client.get(path).json()
    assert set(plain["trace"]) == {"now"}
    assert len(plain["trace"]["now"]["temp_c"]) == len(plain["times_s"]) > 100
    yours = client.get(f"{path}&inlet_c=10&power_limit_w=300&fan_pct=100&util_pct=50").json()
    case = yours["outcomes"][-1]
    assert case["key"] == "yours"
    assert case["power_w"] <= 303
    assert case["temp_c"] < plain["outcomes"][0]["temp_c"]
    assert set(yours["trace"]) == {"now", "yours"}


def test_it_refuses_what_cannot_be(client_as, viewer, hall):
    client = client_as(viewer)
    for query in (
        "inlet_c=hot",
        "inlet_c=nan",
        "power_limit_w=100",
        "power_limit_w=1e9",
        "fan_pct=0",
        "util_pct=101",
        "duration_s=5",
        "duration_s=9999",
    ):
        response = client.get(f"/api/v1/gpus/{GPU}/control?{query}")
        assert response.status_code == 400
        assert query.split("=")[0] in json.dumps(response.json())


def test_it_works_without_a_single_reading(client_as, viewer, hall):
    client = client_as(viewer)
    body = client.get(f"/gpus/{GPU}/").content.decode()
    assert "Nothing has been read from this GPU yet" in body
    assert client.get(f"/api/v1/gpus/{GPU}/control").status_code == 200
    loss = client.get(f"/api/v1/gpus/{GPU}/loss").json()
    assert loss["busy_s"] == 0
    assert "sm_clock_mhz" in loss["missing"]
    assert "No server is listed" in client.get("/racks/rack-1-01/").content.decode()


def test_it_says_what_is_wrong_with_the_data_list(client_as, viewer, hall):
    Asset.objects.filter(tag=GPU).update(attributes={"model": "b9000"})
    client = client_as(viewer)
    assert "no device model is called" in client.get(f"/gpus/{GPU}/").content.decode()
    assert client.get(f"/api/v1/gpus/{GPU}/control").status_code == 200


def test_an_idle_gpu_has_nothing_to_gain(feed):
    feed(GPU, temp_c=30, power_w=72, util_pct=0, sm_clock_mhz=345, throttle_reasons=1)
    now = gpu_control(gpu=gpu_row(tag=GPU)).outcomes[0]
    assert (now.throughput_pct, now.gain_pct, now.work_per_joule_pct) == (None, None, None)
    assert now.power_w == pytest.approx(72, rel=0.1)
    assert not gpu_row(tag=GPU).is_limited


def test_it_uses_the_water_of_a_liquid_cooled_rack(feed):
    feed("rack-2-04", inlet_c=24.0)
    feed("cdu-1", supply_c=32.0)
    feed("srv-13-gpu-0", **HEALTHY)
    control = gpu_control(gpu=gpu_row(tag="srv-13-gpu-0"))
    assert (control.around.medium, control.around.liquid) == ("cdu-1.supply_c", True)
    assert "fans" not in {outcome.key for outcome in control.outcomes}


def test_it_adds_up_the_last_hour(feed):
    """Every 20 s: 20 minutes at full clock, 20 capped at 0.9, 20 at half by hardware."""
    now = datetime.now(UTC)
    stages = [(3600, 1980.0, 0.0), (2400, 1782.0, 4.0), (1200, 990.0, 72.0)]
    moments: list[Moment] = []
    for begin, clock, reasons in stages:
        held = {"sm_clock_mhz": clock, "throttle_reasons": reasons, "util_pct": 90.0, "xid": 0.0}
        moments += [(second, held) for second in range(begin, begin - 1200, -20)]
    feed(GPU, more=moments)
    loss = gpu_loss(gpu=gpu_row(tag=GPU), end=now)
    assert loss.coverage == pytest.approx(1.0, abs=0.01)
    assert {cause: seconds for cause, seconds, _ in loss.causes} == {
        "HwThermalSlowdown": pytest.approx(600, abs=20),
        "SwPowerCap": pytest.approx(120, abs=10),
    }
    assert loss.lost.share == pytest.approx(0.2, abs=0.01)


def test_it_does_not_guess_across_gaps(feed):
    now = datetime.now(UTC)
    held = {"sm_clock_mhz": 990.0, "throttle_reasons": 72.0, "util_pct": 90.0}
    feed(GPU, more=[(second, held) for second in (3000, 2990, 600, 590)])
    loss = gpu_loss(gpu=gpu_row(tag=GPU), end=now)
    assert loss.known_s == pytest.approx(80.0)  # 10 s apart, and 30 s at most after the last
    assert loss.lost.lost_s == pytest.approx(40.0)


def test_the_twin_tells_of_a_rack_beyond_its_points(client_as, viewer, demo_facility):
    """The whole demo hall: a corner of it cannot be simulated, and that is said."""
    client = client_as(viewer)
    found = client.get("/api/v1/racks/rack-1-04/twin").json()
    assert 0.5 < found["airflow_m3s"] < 4.0
    assert 0.0 <= found["recirculation"] < 0.6
    assert found["true_inlet_c"] is None  # nothing was read
    assert found["followed"] is False


def test_it_sees_through_the_lag_of_an_inlet_sensor(feed):
    """A ramp of 3 K/min behind a 10 s sensor: the reading is 0.5 K late."""
    moments = [(280.0 - at, {"inlet_c": 22 + 0.05 * max(at - 10, 0)}) for at in range(0, 280, 2)]
    feed("rack-1-04", more=moments, seconds=0, inlet_c=22 + 0.05 * 270)
    gap = sensor_gap(tag="rack-1-04.inlet_c")
    assert gap["slope_per_min"] == pytest.approx(3.0, rel=0.15)
    # tau of 10 s, and half of the 2 s between readings
    assert gap["value"] - gap["shown"] == pytest.approx(0.55, abs=0.15)


def test_the_rack_page_tells_what_limits_cost(client_as, viewer, plant):
    body = client_as(viewer).get("/racks/rack-1-04/").content.decode()
    assert "2 limited" in body
    assert "within recommended" in body
    assert "/racks/rack-1-01/" in body  # its neighbours, by arrow keys
    assert "/racks/rack-2-04/" in body
    assert "PDU" in body


def test_a_feed_that_is_open_carries_nothing(client_as, viewer, plant):
    plant("pdu-a1", breaker_closed=0)
    plant("pdu-b1", breaker_closed=1)
    body = client_as(viewer).get("/racks/rack-1-04/").content.decode()
    assert "open" in body
    assert "26000 W" in body.replace(",", "")


def test_the_browser_has_the_same_priorities():
    script = Path(__file__).parent.parent / "static" / "facilities" / "gpu" / "reasons.js"
    listed = re.findall(r'\[(0x[0-9a-f]+), "(\w+)", "\w+"\]', script.read_text())
    assert [(int(bit, 16), label) for bit, label in listed] == [
        (int(reason), row.label) for reason, row in REASONS.items()
    ]
