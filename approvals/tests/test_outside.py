"""Outside agents: a real MCP client and REST with a token; they read and propose, nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from io import StringIO
from typing import Any

import httpx2
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group, Permission
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.test import Client as Browser
from django.utils import timezone
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from approvals.catalogue import KINDS
from approvals.models import AgentAccess, AuditEntry, Execution, Proposal, ProposalState
from approvals.outside.access import agent_issue, agent_of, agent_revoke
from approvals.outside.door import McpDoor
from approvals.outside.tools import READS, WRITES
from approvals.tests.conftest import CRAC_2_DOWN, SetValues

WISH = {
    "kind": "set_fan_speed",
    "target": "crac-1",
    "params": {"fan_speed_pct": 85.0},
    "rationale": "The inlets rise.",
}


@pytest.fixture(autouse=True)
def _fresh_counts() -> None:
    cache.clear()


@asynccontextmanager
async def connected(token: str) -> AsyncIterator[Client]:
    """A real client over the real ASGI door."""

    async def nowhere(*_: Any) -> None:
        raise AssertionError("not for the MCP server")

    transport = httpx2.ASGITransport(app=McpDoor(nowhere))
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(transport=transport, headers=headers, base_url="http://t") as http,
        Client(streamable_http_client("http://t/mcp", http_client=http)) as client,
    ):
        yield client


def answer(result: Any) -> Any:
    """The JSON of a tool's text."""
    assert not result.is_error, result.content[0].text
    texts = [json.loads(part.text) for part in result.content]
    return texts[0] if len(texts) == 1 else texts


def said(result: Any) -> str:
    """The text of a refusal."""
    assert result.is_error
    return str(result.content[0].text)


@pytest.fixture
def token(transactional_db: None, set_values: SetValues) -> str:
    set_values({})
    return agent_issue(name="planner").token


async def test_it_offers_reads_and_one_tool_that_asks(token: str) -> None:
    async with connected(token) as client:
        tools = (await client.list_tools()).tools
    assert {tool.name for tool in tools} == {tool.__name__ for tool in (*READS, *WRITES)}
    writing = [
        tool.name for tool in tools if not (tool.annotations and tool.annotations.read_only_hint)
    ]
    assert writing == ["propose_action"]
    assert all("account" not in tool.input_schema.get("properties", {}) for tool in tools)


async def test_it_cannot_act_by_any_name_or_hidden_argument(token: str) -> None:
    async with connected(token) as client:
        made = answer(
            await client.call_tool(
                "propose_action", {**WISH, "approve": True, "state": "approved", "account": 1}
            )
        )
        for name in ("approve", "proposal_approve", "execute", "write_setpoint", "roll_back"):
            refused = await client.call_tool(name, {"proposal_id": made["id"], "digest": "x"})
            assert refused.is_error
        undo = {**WISH, "kind": "roll_back", "params": {"of": made["id"], "writes": []}}
        assert "roll_back" in said(await client.call_tool("propose_action", undo))
        nonsense = {**WISH, "target": "crac-1\x00", "rationale": "\x00"}
        assert said(await client.call_tool("propose_action", nonsense))
    states = await sync_to_async(lambda: list(Proposal.objects.values_list("state", flat=True)))()
    assert states == ["pending"]
    assert not await sync_to_async(Execution.objects.exists)()


async def test_it_reads_the_plant(token: str) -> None:
    async with connected(token) as client:
        crac = answer(await client.call_tool("asset", {"tag": "crac-1"}))
        values = answer(
            await client.call_tool("latest_values", {"tags": ["crac-1.fan_speed_sp_pct", "x.y"]})
        )
        asked = {"tag": "crac-1.supply_c", "hours": 1}
        points = answer(await client.call_tool("series", asked))
        found = answer(await client.call_tool("search_knowledge", {"query": "CRAC failure"}))
        missing = await client.call_tool("asset", {"tag": "crac-99"})
        much = await client.call_tool("latest_values", {"tags": ["a"] * 51})
    assert (crac["kind"], values["values"][0]["value"], values["unknown"]) == ("crac", 70, ["x.y"])
    assert points["tag"] == "crac-1.supply_c"
    assert found["hits"] == []
    assert "there is no asset 'crac-99'" in said(missing)
    assert "over the limit of 50" in said(much)


async def test_it_asks_the_twin(token: str) -> None:
    change = {"asset": "crac-2", "quantity": "run_cmd", "value": 0}
    async with connected(token) as client:
        answered = answer(await client.call_tool("what_if", {"changes": [change], "minutes": 5}))
        refused = await client.call_tool("what_if", {"changes": [{**change, "asset": "x"}]})
    assert answered["summary"]
    assert refused.is_error


async def test_it_makes_a_proposal_that_waits_for_people(token: str) -> None:
    async with connected(token) as client:
        made = answer(await client.call_tool("propose_action", WISH))
        listed = answer(await client.call_tool("list_proposals", {"state": "pending"}))
        again = await client.call_tool("propose_action", WISH)
    assert (made["state"], made["asked_by"]) == (ProposalState.PENDING, "agent-planner")
    assert listed["id"] == made["id"]
    assert again.is_error
    assert not await Execution.objects.aexists()
    events = [entry.event async for entry in AuditEntry.objects.order_by("seq")]
    assert events.count("agent.call") == 3
    assert "proposal.denied" in events


async def test_it_limits_how_much_people_have_to_read(token: str) -> None:
    await AgentAccess.objects.aupdate(proposals_per_hour=1)
    async with connected(token) as client:
        answer(await client.call_tool("propose_action", WISH))
        more = await client.call_tool("propose_action", {**WISH, "target": "crac-3"})
    assert "1 proposals in the last hour" in said(more)
    assert await Proposal.objects.acount() == 1


@pytest.mark.django_db
def test_it_limits_proposals_through_either_door(set_values: SetValues) -> None:
    set_values({})
    issued = agent_issue(name="planner", proposals_per_hour=1)
    client = Browser(headers={"Authorization": f"Bearer {issued.token}"})
    answers = [
        client.post(
            "/api/v1/proposals/",
            json.dumps({**WISH, "target": tag}),
            content_type="application/json",
        )
        for tag in ("crac-1", "crac-3")
    ]
    assert [a.status_code for a in answers] == [201, 429]
    assert answers[1].json()["code"] == "quota"
    assert Proposal.objects.count() == 1


async def test_it_offers_the_kinds_of_the_catalogue_by_schema(token: str) -> None:
    async with connected(token) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        some = answer(await client.call_tool("list_actions", {"target": "crac-1"}))
    kinds = tools["propose_action"].input_schema["properties"]["kind"]["enum"]
    assert set(kinds) == {kind.name for kind in KINDS.values() if not kind.is_internal}
    assert {one["name"] for one in some} <= set(kinds)
    assert all([t["tag"] for t in one["targets"]] == ["crac-1"] for one in some)
    [fan] = [one for one in some if one["name"] == "set_fan_speed"]
    assert fan["targets"][0]["schema"]["properties"]["fan_speed_pct"]["maximum"] == 100


async def test_it_limits_calls_and_says_for_how_long(token: str, monkeypatch: Any) -> None:
    now = timezone.now().replace(second=20)
    monkeypatch.setattr("django.utils.timezone.now", lambda: now)
    await AgentAccess.objects.aupdate(calls_per_minute=2)
    async with connected(token) as client:
        results = [await client.call_tool("open_alarms", {}) for _ in range(4)]
    assert [result.is_error for result in results] == [False, False, True, True]
    assert "its share is 2; wait 40 s" in said(results[2])


async def test_it_hides_closed_collections_from_agents(token: str) -> None:
    from rag.intake.importing import collection_get_or_create, document_import
    from rag.models import Revision, RevisionState

    def stored() -> None:
        shelf = collection_get_or_create(slug="secret")
        shelf.groups.add(Group.objects.create(name="board"))
        text = b"# Secret\n\nThe chiller plant will be sold in May.\n"
        document_import(data=text, source_path="s.md", collection=shelf, kind="note")
        Revision.objects.update(state=RevisionState.READY)

    await sync_to_async(stored)()
    async with connected(token) as client:
        asked = {"query": "chiller plant sold in May"}
        found = answer(await client.call_tool("search_knowledge", asked))
    assert found["hits"] == []


@pytest.mark.parametrize("given", ["", "Bearer ", "Bearer hpa_wrong", "Token x", "Basic eDp5"])
async def test_it_opens_to_no_other_key(transactional_db: None, given: str) -> None:
    transport = httpx2.ASGITransport(app=McpDoor(lambda *_: None))  # type: ignore[arg-type]
    async with httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
        response = await http.post("/mcp", json={}, headers={"Authorization": given})
    assert (response.status_code, response.json()["code"]) == (401, "unauthorized")


@pytest.mark.django_db
def test_it_knows_no_expired_revoked_or_promoted_agent(operator: Any) -> None:
    issued = agent_issue(name="planner", created_by=operator)
    assert agent_of(issued.token) == issued.access
    assert issued.token not in json.dumps(
        [entry.payload for entry in AuditEntry.objects.all()], default=str
    )
    renewed = agent_issue(name="planner")
    assert agent_of(issued.token) is None, "the old token ended with the new one"

    account = renewed.access.account
    account.user_permissions.add(Permission.objects.get(codename="decide_proposal"))
    assert agent_of(renewed.token) is None, "an agent that may sign is shut out"
    account.user_permissions.remove(Permission.objects.get(codename="decide_proposal"))
    assert agent_of(renewed.token) is not None

    AgentAccess.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert agent_of(renewed.token) is None
    AgentAccess.objects.update(expires_at=None)
    agent_revoke(access=renewed.access, user=operator)
    assert agent_of(renewed.token) is None


def test_it_reads_and_proposes_over_rest_and_signs_nothing(
    set_values: SetValues, make_proposal: Any
) -> None:
    set_values(CRAC_2_DOWN)
    token = agent_issue(name="planner").token
    browser = Browser(headers={"Authorization": f"Bearer {token}"})
    assert browser.get("/api/v1/alarms/").status_code == 200
    made = browser.post("/api/v1/proposals/", WISH, content_type="application/json")
    assert made.status_code == 201
    for proposal in (Proposal.objects.get(pk=made.json()["id"]), make_proposal()):
        for verb, body in (("approve", {"digest": proposal.digest}), ("reject", {"reason": "no"})):
            path = f"/api/v1/proposals/{proposal.pk}/{verb}"
            assert browser.post(path, body, content_type="application/json").status_code == 403
        proposal.refresh_from_db()
        assert proposal.state == ProposalState.PENDING
    wrong = Browser(headers={"Authorization": "Bearer hpa_wrong"})
    assert wrong.get("/api/v1/alarms/").status_code in (401, 403)
    assert browser.get("/approvals/").status_code == 302, "pages are for people"


@pytest.mark.django_db
def test_it_issues_and_revokes_from_the_command_line() -> None:
    said = StringIO()
    call_command("create_agent", "planner", stdout=said)
    token = said.getvalue().split()[-1]
    assert agent_of(token) is not None
    call_command("create_agent", "planner", "--revoke", stdout=said)
    assert agent_of(token) is None
    with pytest.raises(CommandError, match="there is no agent"):
        call_command("create_agent", "planner", "--revoke")
    with pytest.raises(CommandError, match="lower-case"):
        call_command("create_agent", "Planner One")
