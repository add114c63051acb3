"""REST API of the knowledge base and the chat."""

import json

import pytest

from rag.models import ChatMessage, ChatSession

SEARCH, DOCUMENTS, ASK = (
    "/api/v1/knowledge/search", "/api/v1/knowledge/documents", "/api/v1/chat/ask",
)  # fmt: skip


def test_it_refuses_strangers(client, db):
    for response in (
        client.get(SEARCH, {"q": "x"}),
        client.get(DOCUMENTS),
        client.post(ASK, {"question": "x"}, content_type="application/json"),
    ):
        assert response.status_code in (401, 403)
        assert set(response.json()) >= {"code", "detail"}


@pytest.mark.parametrize("role", ["viewer", "operator", "supervisor"])
def test_it_searches(corpus, engine, request, client_as, role):
    response = client_as(request.getfixturevalue(role)).get(
        SEARCH, {"q": "standby CRAC-4", "k": 2, "kind": "eop"}
    )
    body = response.json()

    assert response.status_code == 200
    assert body["degraded"] == ""
    assert len(body["hits"]) == 2
    assert (
        body["hits"][0] | {"document": "eop-test-crac", "kind": "eop", "page": None}
        == (body["hits"][0])
    )


@pytest.mark.parametrize(
    "query", [{}, {"q": ""}, {"q": "x", "k": 0}, {"q": "x", "k": "many"}, {"q": "x" * 1001},
              {"q": "x", "kind": "poem"}, {"q": "x", "collection": "no slug!"}],
)  # fmt: skip
def test_it_refuses_bad_searches(client_as, viewer, query):
    response = client_as(viewer).get(SEARCH, query)
    assert response.status_code == 400
    assert response.json()["code"] == "invalid"


def test_it_lists_documents(corpus, client_as, viewer):
    body = client_as(viewer).get(DOCUMENTS, {"kind": "eop"}).json()

    assert body["count"] == 1
    (document,) = body["results"]
    assert (document["slug"], document["state"], document["revision"]) == (
        "eop-test-crac", "ready", 3,
    )  # fmt: skip
    assert document["embedded"] == document["passages"] == 4


@pytest.mark.slow
def test_it_answers_with_citations(corpus, engine, client_as, viewer):
    response = client_as(viewer).post(
        ASK, {"question": "How do I start the standby CRAC?"}, content_type="application/json"
    )
    body = response.json()

    assert response.status_code == 200
    assert body["grounded"]
    assert body["citations"][0]["document"] == "eop-test-crac"
    assert body["passages"][0]["document"] == "eop-test-crac"
    assert not ChatSession.objects.exists(), "only questions of a conversation are kept"


@pytest.mark.slow
@pytest.mark.filterwarnings("error:StreamingHttpResponse")
def test_it_streams_events(corpus, engine, client_as, viewer):
    response = client_as(viewer).post(
        ASK,
        {"question": "How long does a full battery carry the full load?"},
        content_type="application/json",
        headers={"accept": "text/event-stream"},
    )
    raw = response.getvalue().decode()
    events = [json.loads(part.split("data: ")[1]) for part in raw.strip().split("\n\n")]

    assert response["Content-Type"].startswith("text/event-stream")
    assert [event["type"] for event in events if event["type"] != "token"] == [
        "status", "status", "status", "answer",
    ]  # fmt: skip


def test_it_never_fails_because_the_model_is_down(corpus, no_engine, client_as, viewer):
    response = client_as(viewer).post(
        ASK, {"question": "standby unit CRAC-4 run command"}, content_type="application/json"
    )
    assert response.status_code == 200
    assert "CRAC-4" in response.json()["answer"]
    assert response.json()["degraded"]


def test_it_keeps_a_conversation(corpus, no_engine, client_as, viewer, operator):
    session = ChatSession.objects.create(user=viewer, title="x")
    body = {"question": "standby unit CRAC-4 run command", "session": session.pk}

    assert client_as(viewer).post(ASK, body, content_type="application/json").status_code == 200
    assert list(ChatMessage.objects.values_list("role", flat=True)) == ["user", "assistant"]
    other = client_as(operator).post(ASK, body, content_type="application/json")
    assert (other.status_code, other.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "body", [{}, {"question": ""}, {"question": "x" * 1001}, {"question": "x", "session": "y"}]
)
def test_it_refuses_bad_questions(client_as, viewer, body):
    response = client_as(viewer).post(ASK, body, content_type="application/json")
    assert response.status_code == 400
    assert response.json()["code"] == "invalid"


@pytest.mark.filterwarnings("error")
def test_it_describes_its_api(client_as, viewer):
    from drf_spectacular.drainage import GENERATOR_STATS
    from drf_spectacular.generators import SchemaGenerator

    with GENERATOR_STATS.silence():
        schema = SchemaGenerator().get_schema(request=None, public=True)
        problems = [
            message
            for cache in (GENERATOR_STATS._warn_cache, GENERATOR_STATS._error_cache)
            for message in cache
            if "/rag/" in str(message)
        ]

    assert {"/api/v1/knowledge/search", "/api/v1/chat/ask"} <= set(schema["paths"])
    assert problems == []
