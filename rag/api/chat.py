"""Ask a question; the answer as JSON, or as server-sent events while it is written."""

import json
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from asgiref.sync import async_to_sync
from django.core.handlers.asgi import ASGIRequest
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from rag.answers.answering import Event, QuestionInvalid, answer_events, clean_question
from rag.api.answer_serializers import AnswerSerializer, AskSerializer
from rag.api.serializers import ErrorSerializer
from rag.chat.sessions import conversation_events, session_get
from rag.models import ChatSession

logger = logging.getLogger(__name__)

FAILED = "The answer failed; the log says why. Ask again."


class EventStreamRenderer(BaseRenderer):
    """Lets clients ask for `text/event-stream`; renders errors as one `error` event."""

    media_type = "text/event-stream"
    format = "sse"
    charset = "utf-8"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """An error body as an event."""
        return _encode({"type": "error", **(data or {})})


def _encode(event: Event) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


class AskView(APIView):
    """Grounded answers with citations."""

    renderer_classes = [JSONRenderer, EventStreamRenderer]

    @extend_schema(
        operation_id="chat_ask",
        request=AskSerializer,
        responses={
            (200, "application/json"): AnswerSerializer,
            (200, "text/event-stream"): str,
            400: ErrorSerializer,
        },
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Answer from the documents in force and the live readings.

        With `Accept: text/event-stream` the events `status`, `token` and `answer` (or `error`)
        are sent as they come. A language model that is down is no error: the best passage is
        quoted and `degraded` says so.
        """
        body = AskSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        try:
            question = clean_question(body.validated_data["question"])
        except QuestionInvalid as error:
            return Response({"code": "invalid", "detail": str(error)}, status=400)
        session = _session(request, body.validated_data.get("session"))
        events = _events(request, question, session, body.validated_data)
        if getattr(request.accepted_renderer, "format", "") == "sse":
            response = StreamingHttpResponse(
                _chunks(request, events), content_type="text/event-stream; charset=utf-8"
            )
            response["Cache-Control"] = "no-cache"
            response["X-Accel-Buffering"] = "no"
            return response
        last = async_to_sync(_last)(events)
        if last["type"] == "error":
            return Response({"code": last["code"], "detail": last["detail"]}, status=403)
        return Response({key: value for key, value in last.items() if key != "type"})


def _session(request: Request, session_id: int | None) -> ChatSession | None:
    if session_id is None:
        return None
    session = session_get(user=request.user, session_id=session_id)
    if session is None:
        raise NotFound(f"You have no conversation {session_id}.")
    return session


def _events(
    request: Request, question: str, session: ChatSession | None, options: Mapping[str, Any]
) -> AsyncIterator[Event]:
    """Within a conversation its own history counts; collection and time are for single questions."""
    if session is not None:
        return conversation_events(user=request.user, question=question, session=session)
    return answer_events(
        question=question,
        user=request.user,
        collection=options.get("collection"),
        at=options.get("at"),
    )


def _chunks(
    request: Request, events: AsyncIterator[Event]
) -> AsyncIterator[bytes] | Iterator[bytes]:
    """The events as they come under ASGI; all at once under WSGI, which cannot await."""
    if isinstance(request._request, ASGIRequest):
        return _stream(events)
    return iter(async_to_sync(_all)(events))


async def _all(events: AsyncIterator[Event]) -> list[bytes]:
    return [chunk async for chunk in _stream(events)]


async def _stream(events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
    """Encoded events. A client that goes away closes this, and with it the generation; a fault
    midway ends the stream with an `error` event."""
    try:
        async for event in events:
            yield _encode(event)
    except Exception:
        logger.exception("answering failed")
        yield _encode({"type": "error", "code": "failed", "detail": FAILED})
    finally:
        await events.aclose()  # type: ignore[attr-defined]


async def _last(events: AsyncIterator[Event]) -> Event:
    last: Event = {"type": "error", "code": "no_answer", "detail": "The answer was cut off."}
    async for event in events:
        last = event
    return last
