"""Live readings and alarms for signed-in browsers."""

from __future__ import annotations

import asyncio
import time
from importlib import import_module
from typing import Any, Final

from channels.auth import get_user
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings

RECHECK_S: Final = 15.0
"""A session that was ended stops receiving within this time."""

SEND_TIMEOUT_S: Final = 10.0
"""A browser that takes nothing for this long is let go; it reconnects and reads the state."""

MAX_SUBSCRIBED: Final = 2_000
CLOSE_UNAUTHENTICATED: Final = 4401
CLOSE_TOO_SLOW: Final = 4408


class LiveConsumer(AsyncJsonWebsocketConsumer):
    """One group's messages to one signed-in browser.

    The messages of a slow reader wait in the channel layer, which keeps a fixed number and drops
    the rest, so memory stays flat.
    """

    groups: list[str] = []
    group: str = ""
    checked_at = 0.0

    async def connect(self) -> None:
        """Accept signed-in users only."""
        await self.accept()
        if not await self._is_signed_in():
            await self.close(code=CLOSE_UNAUTHENTICATED)
            return
        await self.channel_layer.group_add(self.group, self.channel_name)

    async def disconnect(self, code: int) -> None:
        """Leave the group."""
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def _is_signed_in(self) -> bool:
        """Ask the session store and the user table, not the copy from the hand-shake."""
        session = self.scope.get("session")
        if session is None or not session.session_key:
            return False
        store = import_module(settings.SESSION_ENGINE).SessionStore(session.session_key)
        user: Any = await get_user({"session": store})
        self.checked_at = time.monotonic()
        return bool(user.is_authenticated and user.is_active)

    async def _forward(self, message: dict[str, Any]) -> None:
        if time.monotonic() - self.checked_at > RECHECK_S and not await self._is_signed_in():
            await self.close(code=CLOSE_UNAUTHENTICATED)
            return
        try:
            await asyncio.wait_for(self.send_json(message), SEND_TIMEOUT_S)
        except TimeoutError:
            await self.close(code=CLOSE_TOO_SLOW)

    @classmethod
    async def decode_json(cls, text_data: str) -> Any:
        """Return None for text that is not JSON."""
        try:
            return await super().decode_json(text_data)
        except (ValueError, RecursionError):
            return None

    async def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any
    ) -> None:
        """Take text only."""
        if text_data is None:
            await self.send_json({"type": "error", "detail": "send JSON text"})
            return
        await super().receive(text_data=text_data, **kwargs)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Nothing is expected from the browser."""
        await self.send_json({"type": "error", "detail": "this socket only sends"})


class TelemetryConsumer(LiveConsumer):
    """``/ws/telemetry/``: new readings. ``{"subscribe": [tag, …]}`` limits them to these points."""

    group = "telemetry"
    tags: frozenset[str] | None = None

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Take a subscription; null means every point again."""
        tags = content.get("subscribe", 0) if isinstance(content, dict) else 0
        if tags is None:
            self.tags = None
        elif (
            isinstance(tags, list)
            and len(tags) <= MAX_SUBSCRIBED
            and all(isinstance(tag, str) for tag in tags)
        ):
            self.tags = frozenset(tags)
        else:
            await self.send_json(
                {
                    "type": "error",
                    "detail": f'send {{"subscribe": [tag, …]}} with at most {MAX_SUBSCRIBED} tags, '
                    'or {"subscribe": null} for all',
                }
            )
            return
        await self.send_json(
            {"type": "subscribed", "points": None if self.tags is None else len(self.tags)}
        )

    async def readings(self, message: dict[str, Any]) -> None:
        """Forward the readings that the browser asked for."""
        readings = message["readings"]
        if self.tags is not None:
            readings = [reading for reading in readings if reading["point"] in self.tags]
        if readings:
            await self._forward({"type": "readings", "readings": readings})


class AlarmConsumer(LiveConsumer):
    """``/ws/alarms/``: every event of an alarm, with the alarm as it then is."""

    group = "alarms"

    async def alarm(self, message: dict[str, Any]) -> None:
        """Forward one alarm event."""
        await self._forward(message)

    async def alarms_changed(self, message: dict[str, Any]) -> None:
        """Forward that many changed at once; the browser reads the list again."""
        await self._forward(message)
