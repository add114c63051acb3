"""What a write reaches, by the connections of the demo site."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from approvals.blast import blast_radius
from approvals.catalogue import KINDS, Action
from approvals.catalogue.situation import Situation
from approvals.tests.catalogue_kit import CRAC_2_DOWN, Site, params_for

pytestmark = pytest.mark.django_db
RACKS = [f"rack-{row}-{n:02}" for row in (1, 2) for n in range(1, 9)]


@pytest.fixture
def site(demo_facility: None) -> Site:
    return Site()


def _radius(action: Action, situation: Situation) -> dict[str, Any]:
    writes = KINDS[action.kind].writes(action, situation)
    return blast_radius(action=action, writes=writes, situation=situation)


def test_it_follows_cold_air_to_every_rack_of_the_hall(site: Site) -> None:
    found = _radius(Action("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0}), site.situation())
    assert found["racks"] == RACKS
    assert (len(found["servers"]), found["gpus"]) == (16, 128)
    assert found["jobs"] == ["job-1", "job-2", "job-3"]
    assert found["halls"] == ["hall-1"]
    assert found["assets"] == ["crac-1"]
    assert found["it_w"] == 12 * 9_000 + 4 * 26_000
    assert found["spare"] == 2  # crac-2 and crac-3 run, crac-4 stands by
    assert found["sentence"] == (
        "Reaches 16 racks, 16 servers, 128 GPUs, Training job 1, Training job 2, Inference job 3; "
        "212 kW of IT load; every rack keeps 2 other healthy sources."
    )


def test_it_counts_only_healthy_sources_as_spare(site: Site) -> None:
    start = Action("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0})
    assert _radius(start, site.situation(CRAC_2_DOWN))["spare"] == 1
    assert _radius(start, site.situation({"crac-3.running": None}))["spare"] == 1  # says nothing
    lone = _radius(Action("set_chilled_water_setpoint", "chiller-1", {"chilled_water_c": 9.0}),
                   site.situation())  # fmt: skip
    assert lone["spare"] == 0
    assert "no other healthy source" in lone["sentence"]


def test_it_follows_the_feed_of_a_ups(site: Site) -> None:
    found = _radius(Action("transfer_ups_to_bypass", "ups-a"), site.situation())
    assert (found["racks"], found["spare"]) == (RACKS, 1)
    both = _radius(Action("transfer_ups_to_bypass", "ups-a"), site.situation({"ups-b.bypass": 1.0}))
    assert both["spare"] == 0


def test_it_stops_at_a_rack_a_server_or_a_gpu(site: Site) -> None:
    situation = site.situation()
    rack = _radius(Action("shed_rack_load", "rack-1-03", {"load_cap_pct": 60.0}), situation)
    assert (rack["racks"], rack["gpus"], rack["jobs"]) == (["rack-1-03"], 32, ["job-1"])
    assert rack["it_w"] == 26_000
    node = _radius(Action("drain_node", "srv-11"), situation)
    assert (node["racks"], node["servers"], node["gpus"]) == (["rack-2-03"], ["srv-11"], 8)
    assert (node["jobs"], node["it_w"]) == (["job-2"], 5_600)
    gpu = _radius(Action("set_gpu_power_cap", "srv-05-gpu-3", {"power_limit_w": 500.0}), situation)
    assert (gpu["gpus"], gpu["servers"], gpu["it_w"]) == (1, ["srv-05"], 575)
    assert gpu["spare"] is None
    moved = _radius(
        Action("migrate_rack_load", "rack-1-03", {"servers": ["srv-01", "srv-02"]}), situation
    )
    assert (moved["servers"], moved["gpus"]) == (["srv-01", "srv-02"], 16)


def test_it_names_the_servers_that_a_link_carries(site: Site) -> None:
    found = _radius(Action("disable_link", "link-leaf-2-spine-1"), site.situation())
    assert found["links"] == ["link-leaf-2-spine-1"]
    assert found["servers"] == ["srv-05", "srv-06", "srv-07", "srv-08"]
    assert found["jobs"] == ["job-1"]


def test_it_says_that_a_work_order_reaches_nothing(site: Site) -> None:
    params = {"title": "Filter", "text": "", "priority": "low"}
    found = _radius(Action("open_work_order", "crac-3", params), site.situation())
    assert found["assets"] == found["racks"] == found["halls"] == []
    assert (found["it_w"], found["sentence"]) == (0, "Nothing is written to the plant.")


@settings(
    max_examples=40, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(data=st.data())
def test_it_names_assets_of_the_site_and_grows_with_the_writes(
    demo_facility: None, data: st.DataObject
) -> None:
    """Whatever is written: all names exist, what is written is part of it, and two actions reach
    what each of them reaches."""
    site = Site()
    situation = site.situation()
    radii, writes = [], []
    names = [k.name for k in KINDS.values() if k.targets(situation) and not k.needs_procedures]
    for name in data.draw(st.lists(st.sampled_from(names), min_size=2, max_size=2)):
        kind = KINDS[name]
        target = data.draw(st.sampled_from(kind.targets(situation))).tag
        schema = kind.schema(target, situation)
        params = params_for(schema, lambda n: data.draw(st.integers(0, n - 1)))
        action = Action(name, target, params)
        writes += kind.writes(action, situation)
        radii.append(_radius(action, situation))
    both = blast_radius(action=action, writes=writes, situation=situation)
    for radius in (*radii, both):
        for key in ("racks", "servers", "jobs", "links", "assets"):
            assert {situation.kind_of(tag) for tag in radius[key]} <= set(
                {"racks": ["rack"], "servers": ["server"], "jobs": ["job"], "links": ["link"]}.get(
                    key, site.kinds.values()
                )
            )
        for tag in radius["assets"]:
            kind_of = situation.kind_of(tag)
            if kind_of in ("rack", "server", "link"):
                assert tag in radius[f"{kind_of}s"]
    for key in ("racks", "servers", "jobs", "links", "assets", "halls"):
        assert set(both[key]) >= set(radii[0][key]) | set(radii[1][key])
    assert both["gpus"] >= max(radius["gpus"] for radius in radii)
