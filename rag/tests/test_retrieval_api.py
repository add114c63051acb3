"""GET /api/v1/knowledge/search: the explanation, filters, time, roles and closed collections."""

import logging
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from rag.models import Collection, Document, Passage, Revision

SEARCH = "/api/v1/knowledge/search"


def _search(client, **wanted) -> dict:
    response = client.get(SEARCH, wanted)
    assert response.status_code == 200, response.content
    return response.json()


def test_it_explains_each_hit_and_the_search(corpus, engine, client_as, viewer):
    body = _search(client_as(viewer), q="start the standby CRAC-4", k=3)
    hit, how = body["hits"][0], body["explanation"]

    assert {"document", "title", "section", "page", "text", "score"} <= set(hit)
    assert hit["vector_rank"] and hit["text_rank"]
    assert sum(part["score"] for part in hit["matched"]) == pytest.approx(hit["bm25"], abs=0.01)
    by_term = {term["term"]: term for term in how["terms"]}
    assert by_term["crac-4"]["weight"] > by_term["start"]["weight"] >= 1
    assert by_term["crac-4"]["df"] == Passage.objects.filter(codes__contains=["crac-4"]).count()
    assert how["path"] == "exact"
    assert how["passages"] == Passage.objects.count()
    assert how["by_vector"] + how["by_text"] >= how["candidates"] > 0
    assert {"embedding", "scope", "words", "vectors", "total"} <= set(how["timings_ms"])
    assert body["is_confident"] is True
    assert hit["url"].endswith(f"?revision={hit['revision']}#p-{hit['ordinal']}")


def test_it_gives_the_text_around_on_request(corpus, no_engine, client_as, viewer):
    plain = _search(client_as(viewer), q="standby CRAC-4 run command", k=1)["hits"][0]
    hit = _search(client_as(viewer), q="standby CRAC-4 run command", k=1, neighbours=1)["hits"][0]
    revision = Revision.objects.get(document__slug=hit["document"])

    assert "around" not in plain
    assert hit["around"]["before"] == revision.passages.get(ordinal=hit["before"]).text
    assert hit["around"]["after"] == revision.passages.get(ordinal=hit["after"]).text


def test_it_searches_what_was_in_force_at_a_time(import_text, no_engine, client_as, viewer):
    import_text("valve.md", "# Valve\n\nTurn the quixotic valve left.")
    import_text("valve.md", "# Valve\n\nTurn the quixotic valve right.")
    old, new = Revision.objects.order_by("number")
    now = timezone.now()
    Revision.objects.filter(pk=old.pk).update(
        effective_from=now - timedelta(days=9), superseded_at=now - timedelta(days=1)
    )
    Revision.objects.filter(pk=new.pk).update(effective_from=now - timedelta(days=1))
    client = client_as(viewer)

    def revisions(**wanted) -> set[int]:
        return {hit["revision"] for hit in _search(client, q="quixotic valve", **wanted)["hits"]}

    assert revisions() == {new.number}
    assert revisions(at=(now - timedelta(days=3)).isoformat()) == {old.number}
    assert revisions(at=(now - timedelta(days=30)).isoformat()) == set()
    Document.objects.update(withdrawn_at=now)
    assert revisions() == set()
    assert revisions(at=(now - timedelta(days=3)).isoformat()) == {old.number}


@pytest.mark.parametrize("leg", ["hybrid", "text", "vector"])
def test_it_keeps_closed_collections_from_those_outside(
    corpus, import_text, engine, client_as, viewer, operator, supervisor, leg
):
    import_text(
        "vault.md", "# Vault\n\nThe zebra code opens the standby vault.", collection="vault"
    )
    group = Group.objects.create(name="vault keepers")
    Collection.objects.get(slug="vault").groups.add(group)
    operator.groups.add(group)

    def found(user, **wanted) -> set[str]:
        body = _search(client_as(user), q="zebra code standby vault", k=50, leg=leg, **wanted)
        terms = {term["term"]: term["df"] for term in body["explanation"]["terms"]}
        seen = {hit["collection"] for hit in body["hits"]}
        assert terms.get("zebra", 0) == (1 if "vault" in seen and leg != "vector" else 0)
        return seen

    assert "vault" in found(operator)
    for user in (viewer, supervisor):
        assert "vault" not in found(user)
        assert found(user, collection="vault") == set()
    operator.groups.remove(group)
    assert "vault" not in found(operator)


@pytest.mark.parametrize(
    ("wanted", "word"),
    [
        ({"fusion": "magic"}, "magic"),
        ({"leg": "both"}, "both"),
        ({"at": "yesterday"}, "at"),
        ({"kind": "poem"}, "poem"),
        ({"k": 51}, "50"),
        ({"rerank": "maybe"}, "rerank"),
    ],
)
def test_it_says_what_is_wrong_with_a_search(client_as, viewer, wanted, word):
    response = client_as(viewer).get(SEARCH, {"q": "x", **wanted})

    assert response.status_code == 400
    assert response.json()["code"] == "invalid"
    assert word in response.json()["detail"]


def test_it_offers_every_fusion(corpus, engine, client_as, viewer):
    from rag.retrieval.fusion import METHODS

    for method in METHODS:
        body = _search(client_as(viewer), q="XID 79", k=1, fusion=method)
        assert body["explanation"]["fusion"] == method
        assert body["hits"][0]["section"] == "XID 79"


@pytest.mark.parametrize(("setting", "fields"), [("hash", "query_sha256"), ("text", "query")])
def test_it_logs_who_searched_and_what_was_found(
    corpus, no_engine, client_as, viewer, settings, caplog, setting, fields
):
    settings.SEARCH_LOG = setting
    with caplog.at_level(logging.INFO, logger="rag.retrieval.journal"):
        body = _search(client_as(viewer), q="standby CRAC")
    (line,) = [record for record in caplog.records if record.name == "rag.retrieval.journal"]

    assert getattr(line, fields)
    assert hasattr(line, "query") is (setting == "text")
    assert line.passages == [hit["passage_id"] for hit in body["hits"]]
    assert line.took_ms > 0


def test_it_counts_searches_and_logs_nothing_when_told(
    corpus, no_engine, client_as, viewer, settings, caplog
):
    settings.SEARCH_LOG = "off"
    client = client_as(viewer)

    def counted() -> float:
        lines = client.get("/metrics").content.decode().splitlines()
        return sum(
            float(line.split()[-1]) for line in lines if line.startswith("rag_search_seconds_count")
        )

    before = counted()
    with caplog.at_level(logging.INFO, logger="rag.retrieval.journal"):
        _search(client, q="standby CRAC")

    assert counted() == before + 1
    assert not [record for record in caplog.records if record.name == "rag.retrieval.journal"]
