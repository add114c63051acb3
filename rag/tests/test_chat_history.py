"""Own conversations: kept, searched, renamed, deleted with undo, exported; nobody else's business."""

import datetime as dt
import json

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from rag.chat.sessions import (
    CLOSED,
    answer_store,
    messages_shown,
    question_store,
    session_delete,
    sessions_purge,
)
from rag.models import ChatMessage, ChatSession, Collection

SESSIONS = "/api/v1/chat/sessions"


def answer_of(
    text="A full battery carries the full load for 10 minutes. [1]", document="sop-test-ups", **more
):
    """An answer event as `answer_events` gives it."""
    citation = {
        "n": 1, "passage_id": 7, "document": document, "title": "UPS on battery", "kind": "sop",
        "section": "Steps › Step 1", "step": 1, "page": None, "revision": 3,
        "url": f"/library/{document}/#p-2", "quote": "A full battery carries the full load for 10 minutes.",
        "flagged": False, "effective_from": "2026-01-15", "in_force": True,
    }  # fmt: skip
    table = {
        "columns": ["Asset", "Value"],
        "rows": [["UPS A", {"text": "55 | %", "tone": "warn"}]],
        "caption": "",
    }
    return {
        "type": "answer", "answer": text, "mode": "answer", "citations": [citation] if document else [],
        "grounded": True, "dropped": 1, "replaced": 0, "passages": [{"passage_id": 7, "document": document}],
        "procedure": None, "candidates": [], "revisions": [{"document": document, "revision": 3,
        "label": "SOP-TEST-UPS rev. 3"}], "notes": [{"code": "review_due", "text": "Past its review date."}],
        "asked_as": "How long does the battery of UPS A last?", "at": None, "degraded": "", "llm": "smol",
        "tools": [{"name": "live_values", "result": {"title": "Live readings", "text": "x", "table": table,
                   "at": "2026-11-20T03:00:00+00:00", "quality": "good"}}],
        "timing": {"total": 12},
    } | more  # fmt: skip


@pytest.fixture
def talk(corpus, viewer):
    """A conversation of the viewer's with one question and its answer."""
    session = question_store(
        user=viewer, question="How long does the UPS battery last?", session=None
    )
    answer_store(session=session, event=answer_of(), duration_ms=840)
    return session


def test_it_keeps_the_answer_whole(talk, viewer):
    kept = ChatMessage.objects.get(role="assistant")
    assert (kept.llm, kept.duration_ms, kept.dropped, kept.passages) == ("smol", 840, 1, [7])
    assert kept.documents == ["sop-test-ups"]
    shown = messages_shown(session=talk, user=viewer)[1]
    assert shown["asked_as"].startswith("How long")
    assert shown["revisions"][0]["revision"] == 3
    assert shown["notes"][0]["code"] == "review_due"
    assert shown["tools"][0]["result"]["table"]["rows"]


def test_it_keeps_a_question_once_whose_answer_never_came(viewer):
    session = question_store(user=viewer, question="again?", session=None)
    question_store(user=viewer, question="again?", session=session)
    assert ChatMessage.objects.count() == 1
    answer_store(session=session, event=answer_of())
    question_store(user=viewer, question="again?", session=session)
    assert ChatMessage.objects.count() == 3


@pytest.mark.parametrize("role", ["operator", "supervisor", "admin"])
def test_it_is_its_owners_alone(talk, request, client_as, role):
    client = client_as(request.getfixturevalue(role))
    one = f"{SESSIONS}/{talk.pk}"
    responses = [
        client.get(one),
        client.patch(one, {"title": "mine"}, content_type="application/json"),
        client.delete(one),
        client.post(f"{one}/restore"),
        client.get(f"{one}/export"),
        client.get("/chat/", {"session": talk.pk}),
    ]
    assert [response.status_code for response in responses] == [404] * 6
    assert client.get(SESSIONS).json()["count"] == 0
    assert client.get(SESSIONS, {"search": "battery"}).json()["count"] == 0
    assert b"UPS battery" not in client.get("/chat/history/", {"q": "battery"}).content
    talk.refresh_from_db()
    assert (talk.title, talk.deleted_at) == ("How long does the UPS battery last?", None)


def test_it_shows_strangers_nothing(talk, client):
    for path in (SESSIONS, f"{SESSIONS}/{talk.pk}", f"{SESSIONS}/{talk.pk}/export"):
        assert client.get(path).status_code in (401, 403)
    assert client.get("/chat/history/").status_code == 302


@pytest.mark.parametrize("role", ["viewer", "operator", "supervisor", "admin"])
def test_it_gives_every_role_a_history(request, client_as, role):
    user = request.getfixturevalue(role)
    question_store(user=user, question="is it cold?", session=None)
    page = client_as(user).get("/chat/history/").content.decode()
    assert "is it cold?" in page


def test_it_searches_questions_and_answers(talk, client_as, viewer):
    client = client_as(viewer)
    other = question_store(user=viewer, question="Which chiller is on duty?", session=None)

    found = client.get(SESSIONS, {"search": "batteries carrying"}).json()
    assert [row["id"] for row in found["results"]] == [talk.pk]
    parts = found["results"][0]["found"][0]["parts"]
    assert ["battery", True] in parts
    assert client.get(SESSIONS, {"search": "chiller"}).json()["results"][0]["id"] == other.pk
    assert client.get(SESSIONS, {"search": "-"}).json()["count"] == 0
    assert client.get(SESSIONS, {"search": "x" * 201}).status_code == 400
    assert client.get(SESSIONS, {"search": "a' | b:*\x00 <b> \x02"}).status_code == 200
    page = client.get("/chat/history/", {"q": "battery"}).content.decode()
    assert "<mark>battery</mark>" in page
    assert "chiller" not in page


def test_it_escapes_what_it_highlights(client_as, viewer):
    session = question_store(user=viewer, question="why", session=None)
    answer_store(
        session=session,
        event=answer_of("The <script>alert(1)</script> battery \x02x\x03.", document=""),
    )
    page = client_as(viewer).get("/chat/history/", {"q": "battery"}).content.decode()
    assert "<script>alert" not in page
    assert "<mark>battery</mark>" in page


def test_it_renames_within_bounds(talk, client_as, viewer):
    client = client_as(viewer)

    def rename(title):
        return client.patch(
            f"{SESSIONS}/{talk.pk}", {"title": title}, content_type="application/json"
        )

    assert rename("  UPS   runtime ").json() == {"title": "UPS runtime"}
    for wrong in ("", "   ", "x" * 121, None):
        assert rename(wrong).status_code == 400
    talk.refresh_from_db()
    assert talk.title == "UPS runtime"


def test_it_deletes_with_undo_and_purges_later(talk, client_as, viewer):
    client = client_as(viewer)
    one = f"{SESSIONS}/{talk.pk}"
    assert client.delete(one).status_code == 204
    assert client.get(one).status_code == 404
    assert client.get(SESSIONS, {"search": "battery"}).json()["count"] == 0
    assert client.post(f"{one}/restore").status_code == 200
    assert client.post(f"{one}/restore").status_code == 404
    assert len(client.get(one).json()["messages"]) == 2

    session_delete(session=talk)
    assert sessions_purge() == 0
    assert sessions_purge(now=timezone.now() + dt.timedelta(minutes=11)) == 1
    assert client.post(f"{one}/restore").status_code == 404
    assert not ChatMessage.objects.exists()


def test_it_exports_with_sources_and_revisions(talk, client_as, viewer):
    client = client_as(viewer)
    response = client.get(f"{SESSIONS}/{talk.pk}/export")
    text = response.content.decode()
    assert (
        response["Content-Disposition"]
        == 'attachment; filename="how-long-does-the-ups-battery-last.md"'
    )
    assert "## How long does the UPS battery last?" in text
    assert "revision 3, in force since 2026-01-15" in text
    assert "| UPS A | 55 \\| % |" in text
    assert "Past its review date." in text
    body = json.loads(client.get(f"{SESSIONS}/{talk.pk}/export", {"form": "json"}).content)
    assert body["messages"][1]["citations"][0]["revision"] == 3
    assert client.get(f"{SESSIONS}/{talk.pk}/export", {"form": "exe"}).status_code == 400


def test_it_hides_what_was_closed_since(talk, client_as, viewer):
    """The group's collection is closed to the viewer: quotations of it are not shown again."""
    client = client_as(viewer)
    Collection.objects.get(slug="tests").groups.add(Group.objects.get(name="supervisor"))

    shown = client.get(f"{SESSIONS}/{talk.pk}").json()["messages"]
    assert shown[0]["text"] == "How long does the UPS battery last?"
    assert (shown[1]["text"], shown[1]["mode"], shown[1]["citations"]) == (CLOSED, "closed", [])
    for content in (
        client.get(f"{SESSIONS}/{talk.pk}/export").content,
        client.get(f"{SESSIONS}/{talk.pk}/export", {"form": "json"}).content,
        client.get("/chat/", {"session": talk.pk}).content,
        client.get("/chat/history/", {"q": "carries"}).content,
    ):
        assert b"10 minutes" not in content
    assert client.get(SESSIONS, {"search": "carries"}).json()["count"] == 0

    Collection.objects.get(slug="tests").groups.clear()
    assert client.get(f"{SESSIONS}/{talk.pk}").json()["messages"][1]["mode"] == "answer"


def test_it_pins_the_number_of_queries(corpus, client_as, viewer, django_assert_max_num_queries):
    for number in range(12):
        session = question_store(user=viewer, question=f"battery {number}?", session=None)
        answer_store(session=session, event=answer_of())
    client = client_as(viewer)
    with django_assert_max_num_queries(6):
        client.get("/chat/history/")
    with django_assert_max_num_queries(13):
        assert len(client.get(SESSIONS, {"search": "battery"}).json()["results"]) == 12
    with django_assert_max_num_queries(10):
        client.get(f"{SESSIONS}/{session.pk}")


def test_it_lists_pages(client_as, viewer):
    ChatSession.objects.bulk_create(ChatSession(user=viewer, title=f"t{n}") for n in range(35))
    body = client_as(viewer).get(SESSIONS, {"page_size": 30}).json()
    assert (body["count"], len(body["results"])) == (35, 30)
    assert "Next" in client_as(viewer).get("/chat/history/").content.decode()
    assert client_as(viewer).get("/chat/", {"session": "9" * 30}).status_code == 404
