"""Page and API of the network: who may see, what they get, what it costs."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from facilities.models import Asset, AssetLink

pytestmark = pytest.mark.django_db

LINK = "link-leaf-2-spine-1"


def spread(client, **body):
    return client.post("/api/v1/network/spread", json.dumps(body), content_type="application/json")


@pytest.mark.parametrize("role", ["viewer", "operator", "supervisor"])
def test_it_shows_everybody_signed_in_the_network(role, request, client_as, demo_facility):
    client = client_as(request.getfixturevalue(role))
    page = client.get(f"/network/?link={LINK}")
    assert page.status_code == 200
    text = page.content.decode()
    assert "Training job 1" in text or "job-1" in text
    assert f'value="{LINK}" selected' in text
    assert "Single points of failure" in text
    assert client.get("/api/v1/network/").status_code == 200
    assert spread(client, link=LINK, capacity=25).status_code == 200


def test_it_turns_strangers_away(demo_facility):
    client = Client()
    assert client.get("/network/").status_code == 302
    assert client.get("/api/v1/network/").status_code == 403
    assert spread(client, link=LINK, capacity=25).status_code == 403


def test_it_answers_with_links_jobs_and_weak_points(client_as, viewer, demo_facility):
    data = client_as(viewer).get("/api/v1/network/").json()
    links = {link["label"]: link for link in data["links"]}
    assert data["shape"] == "leaf–spine"
    assert links[LINK]["rated_gbps"] == 400
    assert links[LINK]["medium"] == "optic"
    assert links[LINK]["paths"] == 1  # the other spine
    assert links["srv-01 to leaf-1"]["paths"] == 0
    # one hop of the ring over two spines, with the data of four servers (12 Gb/s each)
    hop = links["srv-01 to leaf-1"]["load_gbps"] - 12
    assert links[LINK]["load_gbps"] == pytest.approx(hop / 2 + 4 * 12 / 2, rel=0.02)
    jobs = {job["tag"]: job for job in data["jobs"]}
    assert jobs["job-1"]["gpus"] == 64
    assert jobs["job-1"]["bottleneck"] == "leaf-1 to srv-01"
    assert jobs["job-1"]["slowdown"] == pytest.approx(1.0, abs=1e-3)
    assert {"device", "cable"} == {p["kind"] for p in data["resilience"][0]["points"]}
    assert len(data["losses"]) == 8


def test_it_plays_a_fault_through_to_the_heat(client_as, viewer, demo_facility):
    data = spread(client_as(viewer), link=LINK, capacity=10).json()
    (hit,) = [job for job in data["jobs"] if job["affected"]]
    assert hit["job"] == "job-1"
    assert hit["slowdown"] > 2
    assert hit["bottleneck"].startswith(LINK)
    assert data["racks"] == ["rack-1-03", "rack-1-04"]
    stages = {stage["stage"]: stage for stage in data["chain"]}
    for name in ("Job pace", "GPUs busy", "Server power", "GPU temperature", "Rack inlet"):
        assert stages[name]["after"] < stages[name]["before"], name
    # the network settles at once, heat takes minutes
    assert stages["Job pace"]["settles_s"] <= 20
    assert stages["Rack inlet"]["settles_s"] > stages["Job pace"]["settles_s"]
    assert data["remedies"][0]["helps"]
    assert data["remedies"][0]["interruption_s"] == 0


def test_it_says_so_when_a_fault_slows_nobody(client_as, viewer, demo_facility):
    data = spread(client_as(viewer), link="link-leaf-3-spine-1", capacity=50).json()
    assert not any(job["affected"] for job in data["jobs"])
    assert "No job is slowed" in data["note"]
    assert data["remedies"] == []


def test_it_refuses_what_it_cannot_play(client_as, viewer, demo_facility):
    client = client_as(viewer)
    for body, status in (
        ({"link": "srv-01", "capacity": 10}, 404),
        ({"link": "link-nowhere", "capacity": 10}, 404),
        ({"link": "a\0b", "capacity": 10}, 400),
        ({"link": LINK, "capacity": 101}, 400),
        ({"link": LINK, "capacity": "nan"}, 400),
        ({"link": LINK}, 400),
    ):
        answer = spread(client, **body)
        assert answer.status_code == status, (body, answer.content)
        assert set(answer.json()) >= {"code", "detail"}


def test_it_explains_itself_without_a_network(client_as, viewer, db):
    page = client_as(viewer).get("/network/")
    assert page.status_code == 200
    assert "No network in the data list" in page.content.decode()


def test_it_reports_a_data_list_that_cannot_be_simulated(client_as, viewer, demo_facility):
    Asset.objects.filter(tag="job-2").update(
        attributes={"kind": "training", "servers": ["srv-01"], "compute_s": 1}
    )
    client = client_as(viewer)
    from facilities.tracking import live

    live._twins.clear()
    try:
        page = client.get("/network/")
        assert "server srv-01 is in job-1 and in job-2" in page.content.decode()
        answer = client.get("/api/v1/network/")
        assert answer.status_code == 409
        assert answer.json()["code"] == "not_simulated"
    finally:
        live._twins.clear()


def test_it_asks_the_database_little(
    client_as, viewer, demo_facility, django_assert_max_num_queries
):
    client = client_as(viewer)
    client.get("/api/v1/network/")
    with django_assert_max_num_queries(12):
        client.get("/api/v1/network/")
    with django_assert_max_num_queries(12):
        client.get("/network/")
    with django_assert_max_num_queries(11):
        spread(client, link=LINK, capacity=25)
    assert AssetLink.objects.filter(kind="network").count() == 34
