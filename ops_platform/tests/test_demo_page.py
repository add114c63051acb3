"""The demo plant's page: who may break things, and what happens when the plant is silent."""

import pytest

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _silent_plant(settings) -> None:
    settings.DEMO_MODE = True
    settings.PLANT_URL = "http://127.0.0.1:9"  # the discard port: nothing listens


def test_it_says_that_the_plant_is_silent(client_as, operator) -> None:
    answer = client_as(operator).get("/plant/")
    assert answer.status_code == 200
    assert b"does not answer" in answer.content


def test_a_viewer_may_look_but_not_break(client_as, viewer) -> None:
    client = client_as(viewer)
    assert client.get("/plant/").status_code == 200
    assert client.post("/plant/faults", {"fault": "crac-2-trip"}).status_code == 403


def test_an_operator_may_break_and_learns_why_it_failed(client_as, operator) -> None:
    answer = client_as(operator).post("/plant/faults", {"fault": "crac-2-trip"}, follow=True)
    assert b"does not answer" in answer.content


def test_a_stranger_is_sent_to_the_log_in(client) -> None:
    for call in (client.get("/plant/"), client.post("/plant/faults", {"fault": "x"})):
        assert call.status_code == 302
        assert call["Location"].startswith("/login/")


def test_it_is_absent_outside_demo_mode(client_as, operator, settings) -> None:
    settings.DEMO_MODE = False
    client = client_as(operator)
    assert client.get("/plant/").status_code == 404
    assert client.post("/plant/faults", {"fault": "crac-2-trip"}).status_code == 404


@pytest.fixture
def plant(tmp_path, settings):
    """The real plant behind its real HTTP API, without a clock."""
    from facilities.demo.tests.test_server import TOKEN, Served

    served = Served(tmp_path)
    settings.PLANT_URL, settings.PLANT_TOKEN = f"http://127.0.0.1:{served.port}", TOKEN
    yield served
    served.stop()


def test_it_lists_every_fault_under_its_group(client_as, viewer, operator, plant) -> None:
    from facilities.demo.plant.faults import FAULTS, GROUPS

    page = client_as(viewer).get("/plant/").content.decode()
    assert all(name in page for name in FAULTS)
    assert [page.index(f">{group}<") for group in ("Cooling", "Power")]
    assert set(GROUPS) == {fault.group for fault in FAULTS.values()}
    assert "Inject" not in page  # a viewer looks
    assert page.count('name="severity"') == 0
    acting = client_as(operator).get("/plant/").content.decode()
    assert acting.count('name="severity"') == sum(fault.scales for fault in FAULTS.values())


def test_it_passes_severity_and_time_to_the_plant(client_as, operator, plant) -> None:
    client = client_as(operator)
    slow = {"fault": "crac-3-filter-clog", "severity": "0.5", "over_s": "3600", "action": "inject"}
    answer = client.post("/plant/faults", slow, follow=True)
    assert b"develops slowly" in answer.content
    present = plant.runtime._book.present["crac-3-filter-clog"]
    assert (present.severity, present.over_s) == (0.5, 3600.0)
    answer = client.post("/plant/faults", {**slow, "severity": "9"}, follow=True)
    assert b"at most 1" in answer.content
    client.post("/plant/faults", {"fault": "crac-3-filter-clog", "action": "clear"})
    assert plant.runtime.state()["faults"] == []
