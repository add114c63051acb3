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
