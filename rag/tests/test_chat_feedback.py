"""Thumbs on answers, the reviewers' list, and golden questions with one click."""

import pytest
from django.contrib.auth.models import Group

from rag.chat.sessions import answer_store, question_store
from rag.models import Collection, Feedback, GoldenQuestion
from rag.tests.test_chat_history import answer_of

LIST = "/chat/feedback/"


def path(message) -> str:
    return f"/api/v1/chat/messages/{message.pk}/feedback"


@pytest.fixture
def answer(corpus, viewer):
    """An answer given to the viewer."""
    session = question_store(user=viewer, question="How long does it last?", session=None)
    return answer_store(session=session, event=answer_of())


def give(client, message, **body):
    return client.post(path(message), body, content_type="application/json")


def test_it_keeps_the_last_judgement(answer, client_as, viewer):
    client = client_as(viewer)
    assert give(client, answer, is_good=True).json()["is_good"] is True
    given = give(
        client, answer, is_good=False, reason="wrong", comment=" no ", correction="8 minutes"
    )
    assert given.status_code == 200
    assert Feedback.objects.count() == 1
    kept = Feedback.objects.get()
    assert (kept.is_good, kept.reason, kept.comment, kept.correction) == (
        False,
        "wrong",
        "no",
        "8 minutes",
    )
    page = client.get("/chat/", {"session": answer.session_id}).content.decode()
    assert '"reason": "wrong"' in page
    assert client.delete(path(answer)).status_code == 204
    assert not Feedback.objects.exists()


@pytest.mark.parametrize(
    "body", [{}, {"is_good": "maybe"}, {"is_good": False}, {"is_good": False, "reason": "hate"},
             {"is_good": True, "comment": "x" * 1001}, {"is_good": False, "reason": "other",
                                                        "correction": "x" * 4001}],
)  # fmt: skip
def test_it_refuses_half_a_judgement(answer, client_as, viewer, body):
    response = give(client_as(viewer), answer, **body)
    assert response.status_code == 400
    assert response.json()["code"] == "invalid"


@pytest.mark.parametrize("role", ["operator", "supervisor", "admin"])
def test_it_lets_nobody_else_judge(answer, request, client_as, role):
    client = client_as(request.getfixturevalue(role))
    assert give(client, answer, is_good=True).status_code == 404
    assert client.delete(path(answer)).status_code == 404


def test_it_judges_answers_only(answer, client, client_as, viewer):
    question = answer.session.messages.get(role="user")
    assert give(client_as(viewer), question, is_good=True).status_code == 404
    assert give(client, answer, is_good=True).status_code in (401, 403)


@pytest.mark.parametrize(
    ("role", "status"), [("viewer", 403), ("operator", 403), ("supervisor", 200), ("admin", 200)]
)
def test_it_shows_the_list_to_reviewers(answer, request, client_as, viewer, role, status):
    give(
        client_as(viewer), answer, is_good=False, reason="incomplete", comment="lacks the generator"
    )
    response = client_as(request.getfixturevalue(role)).get(LIST)
    assert response.status_code == status
    if status == 200:
        page = response.content.decode()
        assert "lacks the generator" in page
        assert "How long does the battery of UPS A last?" in page
        assert "Make golden question" in page


def test_it_makes_a_golden_question_with_one_click(answer, client_as, viewer, operator, supervisor):
    give(
        client_as(viewer),
        answer,
        is_good=False,
        reason="wrong",
        correction="10 minutes at full load",
    )
    kept = Feedback.objects.get()
    golden_path = f"/api/v1/chat/feedback/{kept.pk}/golden"
    assert client_as(viewer).post(golden_path).status_code == 403
    assert client_as(operator).post(golden_path).status_code == 403
    client = client_as(supervisor)
    first = client.post(golden_path).json()
    assert first == client.post(golden_path).json()
    golden = GoldenQuestion.objects.get()
    assert golden.query == "How long does the battery of UPS A last?"
    assert golden.relevant == ["sop-test-ups#1"]
    assert (golden.answer, golden.is_answerable, golden.is_active) == (
        "10 minutes at full load",
        True,
        True,
    )
    assert golden.created_by == supervisor
    assert "Golden question" in client.get(LIST, {"which": "bad"}).content.decode()
    assert "No such feedback" in client.get(LIST, {"which": "open"}).content.decode()


def test_it_makes_golden_questions_that_can_be_measured(answer, client_as, viewer, supervisor):
    """What one click makes is what `evaluate_retrieval --golden` reads."""
    from rag.access import OPEN_ONLY
    from rag.chat.feedback import golden_from_feedback
    from rag.evaluation.records import golden_load
    from rag.evaluation.resolving import Library, resolve

    give(client_as(viewer), answer, is_good=True)
    made = golden_from_feedback(user=supervisor, feedback=Feedback.objects.get())
    judged = resolve(golden_load(), Library(OPEN_ONLY))
    assert [item.golden.query for item in judged] == [made.query]
    assert judged[0].wanted
    assert not judged[0].missing


def test_it_measures_nothing_that_is_unknown(corpus, client_as, viewer, supervisor):
    session = question_store(user=viewer, question="Who made the door?", session=None)
    declined = answer_store(
        session=session,
        event=answer_of("This is not in the documents.", document="", mode="none", asked_as=""),
    )
    reviewer = client_as(supervisor)
    give(client_as(viewer), declined, is_good=False, reason="not_answered")
    kept = Feedback.objects.get()
    refused = reviewer.post(f"/api/v1/chat/feedback/{kept.pk}/golden")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid")
    give(client_as(viewer), declined, is_good=True)
    made = reviewer.post(f"/api/v1/chat/feedback/{kept.pk}/golden").json()
    assert (made["query"], made["relevant"], made["is_answerable"]) == (
        "Who made the door?",
        [],
        False,
    )


def test_it_hides_from_reviewers_what_they_may_not_read(answer, client_as, viewer, supervisor):
    give(client_as(viewer), answer, is_good=False, reason="wrong")
    Collection.objects.get(slug="tests").groups.add(Group.objects.create(name="vault"))
    client = client_as(supervisor)
    page = client.get(LIST).content.decode()
    assert "10 minutes" not in page
    assert "not open to you" in page
    assert (
        client.post(f"/api/v1/chat/feedback/{Feedback.objects.get().pk}/golden").status_code == 404
    )


def test_it_keeps_the_admin_console_out_of_conversations(answer, client_as, viewer, admin):
    give(client_as(viewer), answer, is_good=True)
    client = client_as(admin)
    shown = [client.get(f"/admin/rag/chatsession/{tail}").content.decode()
             for tail in ("", f"{answer.session_id}/change/")]  # fmt: skip
    assert "How long does it last" not in "".join(shown)
    for tail in ("", f"{answer.pk}/change/"):
        response = client.get(f"/admin/rag/chatmessage/{tail}")
        assert response.status_code == 200
        assert b"10 minutes" not in response.content
    assert client.get("/admin/rag/feedback/").status_code == 200


def test_it_pins_the_queries_of_the_list(
    corpus, client_as, viewer, supervisor, django_assert_max_num_queries
):
    for number in range(8):
        session = question_store(user=viewer, question=f"q{number}", session=None)
        message = answer_store(session=session, event=answer_of())
        Feedback.objects.create(message=message, user=viewer, is_good=False, reason="wrong")
    client = client_as(supervisor)
    with django_assert_max_num_queries(16):
        client.get(LIST)
