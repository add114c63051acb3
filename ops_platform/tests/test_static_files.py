"""Static files as ASGI serves them: whole, with validators, and without Django's warning."""

from __future__ import annotations

import warnings

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client

PATH = "/static/css/base.css"


@pytest.fixture
def _served(settings) -> None:
    """Files straight from the apps, as with a checkout that was never collected."""
    settings.WHITENOISE_USE_FINDERS = True
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.mark.usefixtures("_served")
def test_it_serves_a_file_without_a_synchronous_iterator():
    async def fetch() -> tuple[int, bytes, bool]:
        answer = await AsyncClient().get(PATH)
        return answer.status_code, answer.content, answer.streaming

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        status, content, streaming = async_to_sync(fetch)()
    assert (status, streaming) == (200, False)
    assert b".shell" in content


@pytest.mark.usefixtures("_served")
def test_it_keeps_head_ranges_and_validators():
    client = Client()
    whole = client.get(PATH)
    assert whole["Content-Type"].startswith("text/css")
    head = client.head(PATH)
    assert (head.status_code, head.content) == (200, b"")
    assert head["Content-Length"] == whole["Content-Length"] == str(len(whole.content))
    part = client.get(PATH, headers={"range": "bytes=3-9"})
    assert (part.status_code, part.content) == (206, whole.content[3:10])
    again = client.get(PATH, headers={"if-modified-since": whole["Last-Modified"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/static/css/no-such.css").status_code == 404
