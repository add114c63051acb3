"""The chat's WebSocket: one question at a time, tokens as they come, stop at any moment.

In: `{"ask": "…", "session": id?}`, `{"stop": true}`. Out: the events of `rag.answers.answering`, a
`session` event first, and `{"type": "stopped"}`.
"""

import asyncio
import json
import logging
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.contrib.auth import get_user_model

from rag.answers.answering import QuestionInvalid, clean_question
from rag.chat.sessions import conversation_events, session_get

logger = logging.getLogger(__name__)

NOT_SIGNED_IN = 4401
MAX_MESSAGE_CHARS = 8192


class ChatConsumer(AsyncJsonWebsocketConsumer):
    """Answers one signed-in user's questions; who that is is checked again at each message."""

    _answering: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Accept signed-in users; close others with 4401 (a page then goes to the log-in)."""
        await self.accept()
        if not await self._is_signed_in():
            await self.close(code=NOT_SIGNED_IN)

    async def disconnect(self, code: int) -> None:
        """Stop generating for a page that is gone."""
        await self._stop()

    async def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None, **_: Any
    ) -> None:
        """Refuse what is no small JSON object; hand over the rest."""
        try:
            if not text_data or len(text_data) > MAX_MESSAGE_CHARS:
                raise ValueError
            content = json.loads(text_data)
            if not isinstance(content, dict):
                raise ValueError
        except (ValueError, RecursionError):
            await self._error("malformed", 'Send {"ask": "…"} or {"stop": true}, under 8 kB.')
            return
        await self.receive_json(content)

    async def receive_json(self, content: dict[str, Any], **_: Any) -> None:
        """Answer a question or stop answering."""
        if not await self._is_signed_in():
            await self._stop()
            await self.close(code=NOT_SIGNED_IN)
        elif content.get("stop"):
            if await self._stop():
                await self.send_json({"type": "stopped"})
        elif "ask" in content:
            await self._ask(content)
        else:
            await self._error("malformed", 'Send {"ask": "…"} or {"stop": true}.')

    async def _ask(self, content: dict[str, Any]) -> None:
        if self._answering is not None and not self._answering.done():
            await self._error("busy", "One question at a time: stop the running answer first.")
            return
        try:
            question = clean_question(content["ask"])
        except QuestionInvalid as error:
            await self._error("invalid", str(error))
            return
        session = None
        if (session_id := content.get("session")) is not None:
            if isinstance(session_id, int):
                session = await database_sync_to_async(session_get)(
                    user=self.scope["user"], session_id=session_id
                )
            if session is None:
                await self._error("not_found", "This conversation does not exist; start a new one.")
                return
        self._answering = asyncio.create_task(self._answer(question, session))

    async def _answer(self, question: str, session: Any) -> None:
        events = conversation_events(user=self.scope["user"], question=question, session=session)
        try:
            async for event in events:
                await self.send_json(event)
        except asyncio.CancelledError:
            raise
        except Exception:
            logger.exception("answering failed")
            await self._error("failed", "The answer failed; the log says why. Ask again.")
        finally:
            await events.aclose()  # type: ignore[attr-defined]

    async def _stop(self) -> bool:
        """Cancel the running answer. Returns whether there was one."""
        task = self._answering
        self._answering = None
        if task is None or task.done():
            return False
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return True

    async def _is_signed_in(self) -> bool:
        user = self.scope.get("user")
        if user is None or not user.is_authenticated:
            return False
        return await database_sync_to_async(_still_signed_in)(user.pk, self.scope.get("session"))

    async def _error(self, code: str, detail: str) -> None:
        await self.send_json({"type": "error", "code": code, "detail": detail})


def _still_signed_in(user_id: int, session: Any) -> bool:
    """Whether the account is active and the browser session has not been logged out."""
    if not get_user_model().objects.filter(pk=user_id, is_active=True).exists():
        return False
    key = getattr(session, "session_key", None)
    return key is None or session.exists(key)
