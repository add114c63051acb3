"""Live approvals: every open page hears of every change of a proposal or investigation."""

from __future__ import annotations

from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.contrib.auth import get_user_model

from approvals.live import GROUP, group_of

CLOSE_UNAUTHENTICATED = 4401


class ApprovalsConsumer(AsyncJsonWebsocketConsumer):
    """Sends only.

    Re-checks on every send that the account is still active, because sockets outlive log-ins.
    """

    async def connect(self) -> None:
        user = self.scope.get("user")
        if user is None or not user.is_authenticated:
            await self.accept()  # only an accepted socket can say why it closes
            await self.close(code=CLOSE_UNAUTHENTICATED)
            return
        self.user_id = user.pk
        # Before the page hears that it is connected, so that nothing is lost in between.
        for group in (GROUP, group_of(self.user_id)):
            await self.channel_layer.group_add(group, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(GROUP, self.channel_name)
        if hasattr(self, "user_id"):
            await self.channel_layer.group_discard(group_of(self.user_id), self.channel_name)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Browsers have nothing to say here: decisions go over REST, with a status code."""

    async def approvals_proposal(self, message: dict[str, Any]) -> None:
        body = await self._read(_proposal_message, message)
        if body:
            await self.send_json(body)

    async def approvals_investigation(self, message: dict[str, Any]) -> None:
        body = await self._read(_investigation_message, message)
        if body:
            await self.send_json(body)

    async def approvals_notice(self, message: dict[str, Any]) -> None:
        body = await self._read(_notice_message, message)
        if body:
            await self.send_json(body)

    async def approvals_gate(self, message: dict[str, Any]) -> None:
        body = await self._read(_gate_message, message)
        if body:
            await self.send_json(body)

    async def _read(self, build: Any, message: dict[str, Any]) -> dict[str, Any] | None:
        active, body = await database_sync_to_async(_checked)(self.user_id, build, message)
        if not active:
            await self.close(code=CLOSE_UNAUTHENTICATED)
            return None
        return body


def _checked(
    user_id: int, build: Any, message: dict[str, Any]
) -> tuple[bool, dict[str, Any] | None]:
    if not get_user_model().objects.filter(pk=user_id, is_active=True).exists():
        return False, None
    return True, build(message)


def _proposal_message(message: dict[str, Any]) -> dict[str, Any] | None:
    from approvals.api.serializers import ProposalSerializer
    from approvals.selectors import proposals

    proposal = proposals().filter(pk=message["id"]).first()
    if proposal is None:
        return None
    # JSON-ready: dates become strings in the serializer's fields.
    return {
        "type": "proposal",
        "event": message["event"],
        "proposal": dict(ProposalSerializer(proposal).data),
    }


def _notice_message(message: dict[str, Any]) -> dict[str, Any]:
    return {"type": "notice", "notice": message["notice"]}


def _gate_message(message: dict[str, Any]) -> dict[str, Any]:
    return {"type": "gate", "event": message["event"]}


def _investigation_message(message: dict[str, Any]) -> dict[str, Any] | None:
    from approvals.selectors import investigation_summary

    summary = investigation_summary(investigation_id=message["id"])
    if summary is None:
        return None
    return {"type": "investigation", "event": message["event"], "investigation": summary}
