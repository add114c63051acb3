"""Oversized pushes end before their body is read, whatever the length header says."""

from __future__ import annotations

import json

import pytest
from asgiref.testing import ApplicationCommunicator

from facilities.ingest.asgi import PushBodyLimit

LIMIT = 1_000


async def echo(scope, receive, send):
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


def talk(path="/api/v1/readings", headers=()):
    scope = {"type": "http", "method": "POST", "path": path, "headers": list(headers)}
    return ApplicationCommunicator(PushBodyLimit(echo, limit=LIMIT), scope)


async def test_it_refuses_by_the_declared_length_without_reading():
    client = talk(headers=[(b"content-length", b"99999999")])
    start = await client.receive_output(1)
    body = await client.receive_output(1)
    assert start["status"] == 413
    assert json.loads(body["body"])["code"] == "too_large"


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"10")]])
async def test_it_refuses_by_what_arrives_when_the_length_lies(headers):
    client = talk(headers=headers)
    for _ in range(3):
        await client.send_input({"type": "http.request", "body": b"x" * 400, "more_body": True})
    assert (await client.receive_output(1))["status"] == 413


async def test_it_lets_through_what_fits():
    client = talk(headers=[(b"content-length", b"1000")])
    await client.send_input({"type": "http.request", "body": b"x" * LIMIT})
    assert (await client.receive_output(1))["status"] == 200
    assert (await client.receive_output(1))["body"] == b"1000"


async def test_it_leaves_other_paths_alone():
    client = talk(path="/api/v1/knowledge/documents", headers=[(b"content-length", b"5000")])
    await client.send_input({"type": "http.request", "body": b"x" * 5_000})
    assert (await client.receive_output(1))["status"] == 200
