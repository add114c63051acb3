"""The WebSocket over the real Redis layer: no auth, auth lost, viewer, proposal and investigation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import AnonymousUser

from approvals.consumers import ApprovalsConsumer
from approvals.live import push_gate, push_notice
from approvals.notify.deliver import deliver_due
from approvals.notify.rules import rule_add
from approvals.services import proposal_approve, proposal_reject
from approvals.tests.conftest import MakeProposal

pytestmark = pytest.mark.django_db(transaction=True)


class Socket:
    """One browser's WebSocket against the consumer. (`channels.testing` would need daphne.)"""

    def __init__(self, user: Any) -> None:
        scope = {"type": "websocket", "path": "/ws/approvals/", "user": user}
        self._app = ApplicationCommunicator(ApprovalsConsumer.as_asgi(), scope)

    async def connect(self) -> None:
        await self._app.send_input({"type": "websocket.connect"})
        assert (await self._app.receive_output(5))["type"] == "websocket.accept"

    async def told(self) -> dict[str, Any]:
        message = await self._app.receive_output(5)
        assert message["type"] == "websocket.send", message
        return dict(json.loads(message["text"]))

    async def closed(self) -> int:
        message = await self._app.receive_output(5)
        assert message["type"] == "websocket.close", message
        return int(message["code"])

    async def leave(self) -> None:
        await self._app.send_input({"type": "websocket.disconnect", "code": 1000})
        await self._app.wait(5)


async def test_it_closes_on_a_stranger() -> None:
    socket = Socket(AnonymousUser())
    await socket.connect()
    assert await socket.closed() == 4401


async def test_it_tells_a_viewer_of_a_new_proposal_and_of_its_decision(
    make_proposal: MakeProposal, viewer: Any, operator: Any
) -> None:
    socket = Socket(viewer)
    await socket.connect()
    proposal = await sync_to_async(make_proposal)()
    told = await socket.told()
    assert (told["type"], told["event"]) == ("proposal", "pending")
    assert told["proposal"]["digest"] == proposal.digest
    assert told["proposal"]["title"] == "Start standby CRAC 4"
    await sync_to_async(proposal_reject)(proposal_id=proposal.pk, user=operator, reason="no")
    told = await socket.told()
    assert (told["event"], told["proposal"]["decisions"][0]["reason"]) == ("rejected", "no")
    await socket.leave()


async def test_it_closes_when_the_account_is_switched_off(
    make_proposal: MakeProposal, viewer: Any, operator: Any
) -> None:
    proposal = await sync_to_async(make_proposal)()
    socket = Socket(viewer)
    await socket.connect()
    viewer.is_active = False
    await sync_to_async(viewer.save)()
    await sync_to_async(proposal_approve)(
        proposal_id=proposal.pk, user=operator, digest=proposal.digest
    )
    assert await socket.closed() == 4401


async def test_it_shows_a_note_to_whom_it_is_for_and_the_gate_to_everybody(
    viewer: Any, operator: Any
) -> None:
    mine, other = Socket(operator), Socket(viewer)
    await mine.connect()
    await other.connect()
    notice = {"subject": "hello", "delivery": 1}
    assert await sync_to_async(push_notice)(user_id=operator.pk, notice=notice) == ""
    await sync_to_async(push_gate)(event="held")
    assert await mine.told() == {"type": "notice", "notice": notice}
    assert await mine.told() == {"type": "gate", "event": "held"}
    assert await other.told() == {"type": "gate", "event": "held"}
    assert await sync_to_async(push_notice)(user_id=None, notice=notice) == ""
    assert (await other.told())["type"] == "notice"
    await mine.leave()
    await other.leave()


async def test_it_delivers_a_browser_rule_over_the_socket(
    make_proposal: MakeProposal, operator: Any
) -> None:
    await sync_to_async(rule_add)(user=operator, channel="browser", events=["proposal.pending"])
    socket = Socket(operator)
    await socket.connect()
    proposal = await sync_to_async(make_proposal)()
    assert (await socket.told())["type"] == "proposal"
    assert await sync_to_async(deliver_due)() == 1
    told = await socket.told()
    assert (told["type"], told["notice"]["type"]) == ("notice", "proposal.pending")
    assert told["notice"]["path"] == f"/approvals/{proposal.pk}/"
    await socket.leave()
