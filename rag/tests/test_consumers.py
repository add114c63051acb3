"""The chat's WebSocket: who may connect, one question at a time, stop, and lost log-ins."""

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client

from ops_platform.asgi import application
from rag.models import ChatMessage, ChatSession

pytestmark = pytest.mark.django_db(transaction=True)


def connect(user=None) -> WebsocketCommunicator:
    """A browser's socket, with the user's session cookie."""
    headers = [(b"origin", b"http://testserver"), (b"host", b"testserver")]
    if user is not None:
        client = Client()
        client.force_login(user)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        headers.append((b"cookie", f"{settings.SESSION_COOKIE_NAME}={cookie}".encode()))
    return WebsocketCommunicator(application, "/ws/chat/", headers=headers)


async def until(socket: WebsocketCommunicator, *kinds: str) -> list[dict]:
    """Events up to one of the kinds."""
    events = [await socket.receive_json_from(timeout=60)]
    while events[-1]["type"] not in kinds:
        events.append(await socket.receive_json_from(timeout=60))
    return events


async def test_it_closes_on_strangers():
    socket = connect()
    await socket.connect()
    closed = await socket.receive_output(timeout=5)

    assert (closed["type"], closed["code"]) == ("websocket.close", 4401)


@pytest.mark.slow
async def test_it_streams_an_answer_and_keeps_it(corpus, engine, viewer):
    socket = await sync_to_async(connect)(viewer)
    await socket.connect()
    await socket.send_json_to({"ask": "How long does a full battery carry the full load?"})
    events = await until(socket, "answer", "error")
    await socket.disconnect()

    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["session", "status"]
    assert kinds.count("token") > 3
    assert "10 minutes" in events[-1]["answer"]
    session = await ChatSession.objects.aget(pk=events[0]["session"])
    assert session.user_id == viewer.pk
    kept = [message async for message in ChatMessage.objects.order_by("id")]
    assert [message.role for message in kept] == ["user", "assistant"]
    assert kept[1].citations == events[-1]["citations"]


@pytest.mark.slow
async def test_it_stops_and_takes_the_next_question(corpus, engine, viewer):
    socket = await sync_to_async(connect)(viewer)
    await socket.connect()
    await socket.send_json_to({"ask": "Explain step by step how I start the standby CRAC unit"})
    await until(socket, "token")
    await socket.send_json_to({"ask": "another at the same time"})
    busy = await until(socket, "error")
    await socket.send_json_to({"stop": True})
    stopped = await until(socket, "stopped", "answer")
    await socket.send_json_to({"ask": "Who won the football world cup in 1990?"})
    after = await until(socket, "answer")
    await socket.disconnect()

    assert busy[-1]["code"] == "busy"
    assert stopped[-1]["type"] == "stopped"
    assert after[-1]["mode"] == "none"


async def test_it_closes_when_the_log_in_is_lost(corpus, no_engine, viewer):
    socket = await sync_to_async(connect)(viewer)
    await socket.connect()
    await Session.objects.all().adelete()
    await socket.send_json_to({"ask": "standby CRAC"})
    closed = await socket.receive_output(timeout=5)

    assert (closed["type"], closed["code"]) == ("websocket.close", 4401)
    assert not await ChatMessage.objects.aexists()


async def test_it_closes_when_the_account_is_locked(viewer):
    socket = await sync_to_async(connect)(viewer)
    await socket.connect()
    viewer.is_active = False
    await viewer.asave()
    await socket.send_json_to({"ask": "standby CRAC"})
    assert (await socket.receive_output(timeout=5))["code"] == 4401


@pytest.mark.parametrize("role", ["viewer", "operator", "supervisor"])
async def test_it_answers_every_role(no_engine, request, role):
    user = await sync_to_async(request.getfixturevalue)(role)
    socket = await sync_to_async(connect)(user)
    await socket.connect()
    await socket.send_json_to({"ask": "anything"})
    events = await until(socket, "answer")
    await socket.disconnect()
    assert events[-1]["mode"] == "none"


async def test_it_refuses_a_conversation_of_somebody_else(viewer, operator):
    session = await ChatSession.objects.acreate(user=operator, title="x")
    socket = await sync_to_async(connect)(viewer)
    await socket.connect()
    wrongs: list[object] = [session.pk, 10**9, "1; DROP", []]
    for wrong in wrongs:
        await socket.send_json_to({"ask": "hello", "session": wrong})
        assert (await socket.receive_json_from(timeout=5))["code"] == "not_found"
    await socket.disconnect()
    assert not await ChatMessage.objects.aexists()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("not json", "malformed"),
        ("[1]", "malformed"),
        ("{}", "malformed"),
        ('{"ask": ""}', "invalid"),
        ('{"ask": "' + "x" * 1001 + '"}', "invalid"),
        ('{"ask": "' + "x" * 9000 + '"}', "malformed"),
        ("[" * 4000, "malformed"),
    ],
)
async def test_it_answers_nonsense_with_an_error(viewer, text, code):
    socket = await sync_to_async(connect)(viewer)
    await socket.connect()
    await socket.send_to(text_data=text)
    assert (await socket.receive_json_from(timeout=5))["code"] == code
    await socket.send_json_to({"stop": True})
    assert await socket.receive_nothing(timeout=0.2)
    await socket.disconnect()


async def test_it_answers_a_reading_and_keeps_the_tool(demo_facility, no_engine, viewer):
    socket = await sync_to_async(connect)(viewer)
    await socket.connect()
    await socket.send_json_to({"ask": "Which alarms are open?"})
    events = await until(socket, "answer", "error")
    await socket.disconnect()

    assert [event["type"] for event in events] == ["session", "status", "tool", "answer"]
    answer = events[-1]
    assert answer["mode"] == "tool"
    assert "no open alarms" in answer["answer"]
    kept = await ChatMessage.objects.aget(pk=answer["message"])
    assert kept.session_id == answer["session"]
    assert kept.tools[0]["name"] == "alarms"
    assert kept.tools[0]["result"]["at"]
    assert kept.duration_ms is not None


async def test_it_keeps_what_retrieval_found_and_how_it_understood(corpus, no_engine, viewer):
    socket = await sync_to_async(connect)(viewer)
    await socket.connect()
    await socket.send_json_to({"ask": "How do I start the standby CRAC?"})
    first = (await until(socket, "answer"))[-1]
    await socket.send_json_to({"ask": "and then?", "session": first["session"]})
    await until(socket, "answer")
    await socket.disconnect()

    kept = await ChatMessage.objects.aget(pk=first["message"])
    assert kept.passages == [hit["passage_id"] for hit in first["passages"]]
    assert kept.documents
    assert await ChatMessage.objects.filter(session=first["session"]).acount() == 4


async def test_it_stops_answering_when_the_log_in_is_lost(corpus, no_engine, viewer):
    """Between two questions the log-in ends: the second is not answered and not kept."""
    socket = await sync_to_async(connect)(viewer)
    await socket.connect()
    await socket.send_json_to({"ask": "standby CRAC"})
    first = (await until(socket, "answer"))[-1]
    await Session.objects.all().adelete()
    await socket.send_json_to({"ask": "and the next step?", "session": first["session"]})
    assert (await socket.receive_output(timeout=5))["code"] == 4401
    assert await ChatMessage.objects.filter(role="user").acount() == 1


async def test_it_does_not_continue_a_deleted_conversation(viewer):
    from django.utils import timezone

    session = await ChatSession.objects.acreate(user=viewer, title="x", deleted_at=timezone.now())
    socket = await sync_to_async(connect)(viewer)
    await socket.connect()
    await socket.send_json_to({"ask": "hello", "session": session.pk})
    assert (await socket.receive_json_from(timeout=5))["code"] == "not_found"
    await socket.disconnect()


async def test_it_keeps_two_people_apart(no_engine, viewer, operator):
    """Two sockets at the same time: each gets its own answer into its own conversation."""
    sockets = [await sync_to_async(connect)(user) for user in (viewer, operator)]
    for socket, question in zip(
        sockets, ("list all EOPs", "Who won the cup in 1990?"), strict=True
    ):
        await socket.connect()
        await socket.send_json_to({"ask": question})
    answers = [(await until(socket, "answer"))[-1] for socket in sockets]
    for socket in sockets:
        await socket.disconnect()

    assert [answer["mode"] for answer in answers] == ["tool", "none"]
    owners = [(await ChatSession.objects.aget(pk=answer["session"])).user_id for answer in answers]
    assert owners == [viewer.pk, operator.pk]


async def test_it_tells_a_refused_tool(no_engine, viewer):
    socket = await sync_to_async(connect)(viewer)
    await socket.connect()
    await socket.send_json_to({"ask": "propose start standby crac-4"})
    assert (await until(socket, "error"))[-1]["code"] == "tool_refused"
    await socket.disconnect()
