"""A stranger's day: a real web server in a process of its own, real log-ins and sockets, everything at
once, workers that race; and at the end the plant's own log.

What is executed was signed by enough people for exactly that payload, once; nothing else is.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings as installation
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import connection
from django.urls import URLPattern

from approvals import api_urls, execution
from approvals.audit import audit_verify
from approvals.models import AuditEntry, Decision, Execution, Proposal
from approvals.outside.access import agent_issue
from approvals.tests.conftest import HEALTHY, PASSWORD, PlantProcess, SetValues, _free_port
from approvals.tests.execution_kit import fans, keys, made
from ops_platform.models import User

HIGH = {"signatures": 2, "distinct_roles": 2, "reason": True, "reauthenticate": True}
FULL = {"reason": "It is hot.", "password": PASSWORD}
PEOPLE = {
    "operator": "operator", "operator-2": "operator", "supervisor": "supervisor",
    "supervisor-2": "supervisor", "viewer": "viewer", "admin": "admin",
}  # fmt: skip
CSRF = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')


class Site:
    """The server's address, and log-ins over HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url

    def stranger(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=60)

    def sign_in(self, name: str, client: httpx.Client | None = None) -> httpx.Client:
        client = client or self.stranger()
        token = CSRF.search(client.get("/login/").text)
        assert token
        form = {"username": name, "password": PASSWORD, "csrfmiddlewaretoken": token[1]}
        answer = client.post("/login/", data=form, headers={"Referer": self.url})
        assert answer.status_code == 302, answer.text[:500]
        client.headers["X-CSRFToken"] = client.cookies[installation.CSRF_COOKIE_NAME]
        return client


def post(client: httpx.Client, path: str, **body: Any) -> httpx.Response:
    return client.post(f"/api/v1/{path}", json=body)


def approve(client: httpx.Client, proposal: Proposal, **body: Any) -> httpx.Response:
    return post(
        client, f"proposals/{proposal.pk}/approve", **{"digest": proposal.digest, **FULL, **body}
    )


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    start, answers = threading.Barrier(len(acts)), []

    def run(act: Callable[[], Any]) -> None:
        try:
            start.wait(30)
            answers.append(act())
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(answers) == len(acts)
    return answers


@pytest.fixture
def site(transactional_db: None, plant: PlantProcess, tmp_path: Path) -> Iterator[Site]:
    """The web process as `up` starts it, on the test's database and plant."""
    given = installation.DATABASES["default"]
    port = _free_port()
    database = connection.settings_dict
    environment = {
        **os.environ,
        "OPS_DATABASE_URL": f"postgresql://{given['USER']}:{given['PASSWORD']}@{given['HOST']}:"
        f"{given['PORT']}/{database['NAME']}",
        "OPS_PLANT_URL": plant.url,
        "OPS_PLANT_TOKEN": plant.token,
    }  # fmt: skip
    log = (tmp_path / "web.log").open("wb")
    child = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "ops_platform.asgi:application", "--port", str(port),
         "--no-access-log", "--lifespan", "off", "--log-level", "warning"],
        cwd=Path(__file__).parents[2], env=environment, stdout=log, stderr=log,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                if httpx.get(f"{url}/health/live", trust_env=False, timeout=5).is_success:
                    break
            except httpx.TransportError:
                assert child.poll() is None, (tmp_path / "web.log").read_text()[-2000:]
            assert time.monotonic() < deadline, (tmp_path / "web.log").read_text()[-2000:]
            time.sleep(0.1)
        yield Site(url)
    finally:
        child.terminate()
        child.wait(20)


@pytest.fixture
def people(person: Any) -> dict[str, User]:
    """Everybody of the demo, with a password that the server's own hasher knows."""
    known = PBKDF2PasswordHasher().encode(PASSWORD, "saltsaltsalt")
    for name, role in PEOPLE.items():
        person(role, name)
    User.objects.update(password=known)
    return {user.username: user for user in User.objects.all()}


def state_of(proposal: Proposal) -> str:
    return Proposal.objects.get(pk=proposal.pk).state


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    from approvals.catalogue import KINDS

    monkeypatch.setattr(KINDS["set_fan_speed"], "cool_down_s", 0.0, raising=False)


@pytest.mark.usefixtures("quick")
def test_it_lets_nothing_through_that_people_did_not_sign(
    site: Site, plant: PlantProcess, people: dict[str, User], set_values: SetValues
) -> None:
    before = len(plant.writes())
    clients = {name: site.sign_in(name) for name in PEOPLE}
    agent = site.stranger(
        Authorization=f"Bearer {agent_issue(name='scout', calls_per_minute=9_999).token}"
    )
    olga, sam = clients["operator"], clients["supervisor"]

    # -- the door: fixation, forged sessions, spoofed headers, other sites ------------------------
    proposal = made(fans(71.0), target="hall-1")
    planted = site.stranger()
    planted.cookies.set(installation.SESSION_COOKIE_NAME, "a" * 32)
    site.sign_in("viewer", planted)
    chosen = {c.value for c in planted.cookies.jar if c.name == installation.SESSION_COOKIE_NAME}
    assert chosen - {"a" * 32}, "a session of the server's own"
    for cookie in ("a" * 32, "x", "../../etc"):
        forged = site.stranger()
        forged.cookies.set(installation.SESSION_COOKIE_NAME, cookie)
        assert approve(forged, proposal).status_code in (401, 403)
    for headers in (
        {"Remote-User": "admin"}, {"X-Forwarded-User": "admin"}, {"X-Remote-User": "admin"},
        {"Authorization": "Basic YWRtaW46YWRtaW4="}, {"Authorization": "Bearer hpa_guess"},
        {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"},
    ):  # fmt: skip
        assert approve(site.stranger(**headers), proposal).status_code in (401, 403), headers
    for header in (
        {"X-CSRFToken": ""},
        {"X-CSRFToken": "x" * 64},
        {"Origin": "http://evil.example"},
    ):
        path = f"/api/v1/proposals/{proposal.pk}/approve"
        said = olga.post(path, json={"digest": proposal.digest}, headers=header)
        assert said.status_code == 403, header
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        said = olga.request(method, f"/api/v1/proposals/{proposal.pk}/approve")
        assert said.status_code == 405
        if method != "GET":
            said = olga.request(
                method, f"/api/v1/proposals/{proposal.pk}/", json={"state": "approved"}
            )
            assert said.status_code == 405
    assert state_of(proposal) == "pending"

    # -- mass assignment: what a caller cannot say of a proposal -----------------------------------
    asked = {
        "kind": "shed_rack_load", "target": "rack-1-03", "params": {"load_cap_pct": 70.0},
        "rationale": "hot", "state": "approved", "round": 7, "requested_by": people["viewer"].pk,
        "requester": "viewer", "digest": "0" * 64, "risk": "low", "is_drill": True,
        "requirement": {"signatures": 0}, "writes": [], "execute_before": "2030-01-01T00:00:00Z",
    }  # fmt: skip
    set_values(HEALTHY)  # preconditions want readings of the last minute
    answer = post(olga, "proposals/", **asked)
    assert answer.status_code == 201, answer.text
    shed = Proposal.objects.get(pk=answer.json()["id"])
    assert (shed.state, shed.round, shed.risk, shed.is_drill) == ("pending", 1, "high", False)
    assert shed.requested_by == people["operator"] and shed.requirement["signatures"] == 2
    assert shed.digest == shed.computed_digest() and shed.writes and shed.execute_before is None

    # -- n of m: everybody at once, twice, with forged digests in between --------------------------
    rush = at_once(
        *(
            lambda c=c, d=d: approve(c, shed, digest=d)
            for c in (*clients.values(), agent, site.stranger())
            for d in (shed.digest, shed.digest, "f" * 64)
        ),
        lambda: post(agent, f"proposals/{shed.pk}/reject", reason="no"),
        lambda: post(
            clients["viewer"], f"proposals/{shed.pk}/revise", digest=shed.digest, params={}
        ),
    )
    assert all(a.status_code < 500 for a in rush), [a.text[:300] for a in rush]
    signed = list(Decision.objects.filter(proposal=shed).select_related("user"))
    assert len({d.role for d in signed}) == len(signed) == 2
    assert not {d.user.username for d in signed} & {"operator", "viewer", "agent-scout"}
    assert state_of(shed) == "approved"
    assert Counter(a.status_code for a in rush)[200] == 2

    # -- while it is executed, and again with the same requests ------------------------------------
    fast = made(fans(72.0, 73.0))
    assert approve(olga, fast, password="").status_code == 200
    racing = at_once(
        *(lambda: execution.execute(proposal_id=fast.pk) for _ in range(3)),
        *(lambda c=c: approve(c, fast) for c in (olga, sam, clients["admin"])),
        lambda: post(sam, f"proposals/{fast.pk}/revise", digest=fast.digest, params={}),
    )
    assert {a.status_code for a in racing if isinstance(a, httpx.Response)} <= {400, 409}
    execution.execute(proposal_id=fast.pk)
    assert Decision.objects.filter(proposal=fast).count() == 1
    assert Execution.objects.get(proposal=fast).outcome == "succeeded"

    # -- between the signature and the plant: role lost, account closed, payload edited ------------
    lost, closed, edited = (made(fans(74.0 + n), target=f"crac-{n + 2}") for n in range(3))
    assert approve(clients["operator-2"], lost, password="").status_code == 200
    people["operator-2"].groups.clear()
    assert approve(clients["supervisor-2"], closed, password="").status_code == 200
    User.objects.filter(username="supervisor-2").update(is_active=False)
    assert approve(olga, edited, password="").status_code == 200
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE approvals_proposal DISABLE TRIGGER approvals_proposal_guard")
        cursor.execute(
            "UPDATE approvals_proposal SET writes = %s WHERE id = %s",
            [json.dumps(fans(100.0)), edited.pk],
        )
        cursor.execute("ALTER TABLE approvals_proposal ENABLE TRIGGER approvals_proposal_guard")
    for one in (lost, closed, edited):
        execution.execute(proposal_id=one.pk)
        assert state_of(one) == "pending" and not Execution.objects.filter(proposal=one).exists()
    assert approve(clients["supervisor-2"], proposal).status_code in (401, 403)
    assert approve(clients["operator-2"], proposal).status_code == 403

    # -- an agent at every endpoint of the gate that changes something -----------------------------
    for pattern in api_urls.urlpatterns:
        assert isinstance(pattern, URLPattern)
        path = re.sub(r"<int:\w+>", str(proposal.pk), str(pattern.pattern))
        path = re.sub(r"<str:\w+>", "1", path)
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            said = agent.request(method, f"/api/v1/{path}", json={"digest": proposal.digest})
            allowed = path.endswith("/looks") or path in ("policy/preview", "policy/check")
            assert said.status_code >= 400 or allowed, (method, path, said.text[:200])
            assert said.status_code < 500, (method, path, said.text[:200])
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "approve", "arguments": {"id": proposal.pk}}}  # fmt: skip
    accept = {"Accept": "application/json, text/event-stream"}
    said = agent.post("/mcp", json=call, headers=accept)
    assert said.status_code in (200, 400) and state_of(proposal) == "pending"
    for path in ("/v1/chat/completions", "/v1/completions", "/api/v1/chat/completions"):
        assert agent.post(path, json={"messages": []}).status_code >= 400

    # -- what the plant says ------------------------------------------------------------------------
    written = plant.writes()[before:]
    assert Counter(w["key"] for w in written) == Counter(set(keys(written, fast)))
    assert len(written) == 2
    for done in Execution.objects.select_related("proposal"):
        given = Decision.objects.filter(
            proposal=done.proposal, verdict="approve", digest=done.digest
        )
        assert given.exists() and done.digest == done.proposal.digest
    verdict = audit_verify()
    assert verdict.ok, verdict.detail
    assert AuditEntry.objects.filter(event="decision.denied").count() >= 20
