"""Hybrid search over a small corpus with the real database and the real embedder."""

import pytest

from rag.retrieval.search import search, z_scores


def test_it_scales_scores_to_mean_zero_and_deviation_one():
    assert z_scores({1: 1.0, 2: 3.0}) == {1: -1.0, 2: 1.0}
    assert z_scores({1: 2.0, 2: 2.0}) == {1: 0.0, 2: 0.0}
    assert z_scores({}) == {}


@pytest.mark.parametrize(
    ("query", "document", "step"),
    [
        ("How do I start the standby CRAC?", "eop-test-crac", 2),
        ("how long does the battery last", "sop-test-ups", 1),
        ("XID 79", "gpu-xid-errors", None),
        ("xid79", "gpu-xid-errors", None),
        ("ceph disk unavailable", "cephosddiskunavailable", None),
        ("when to change the air filter", "air-filter-replacement", None),
        ("water on the floor, leak-1", "leak", None),
    ],
)
def test_it_finds_the_passage(corpus, engine, query, document, step):
    result = search(query=query, k=3)

    assert result.hits[0].document == document
    assert (document, step) in [(hit.document, hit.step) for hit in result.hits[:2]]
    assert result.degraded == ""
    assert result.hits[0].url.startswith(f"/library/{document}/?revision=")
    assert result.hits[0].url.endswith(f"#p-{result.hits[0].ordinal}")


def test_it_ranks_the_exact_code_first(corpus, engine):
    result = search(query="XID 48", k=3)

    assert result.hits[0].section == "XID 48"
    assert result.hits[0].text_rank == 1


def test_it_explains_each_hit(corpus, engine):
    hit = search(query="start the standby CRAC-4").hits[0]

    assert hit.vector_rank is not None
    assert hit.text_rank is not None
    assert hit.bm25 > 0
    assert 0 < hit.coverage <= 1
    assert -1 <= (hit.similarity or 2) <= 1
    assert hit.revision == 3


def test_it_searches_by_full_text_alone_while_no_server_embeds(corpus, no_engine):
    result = search(query="standby CRAC")

    assert result.hits[0].document == "eop-test-crac"
    assert result.hits[0].vector_rank is None
    assert "full text only" in result.degraded


def test_it_filters_by_collection_and_kind(corpus, import_text, engine):
    import_text("other.md", "# Standby CRAC notes\n\nAbout the standby CRAC.", collection="other")

    assert {hit.collection for hit in search(query="standby CRAC", collection="other").hits} == {
        "other"
    }
    assert {hit.kind for hit in search(query="standby CRAC", kinds=["eop", "sop"]).hits} == {
        "eop",
        "sop",
    }
    assert search(query="standby CRAC", collection="no-such").hits == []


def test_it_answers_an_empty_or_meaningless_query_with_nothing_or_low_confidence(corpus, engine):
    assert search(query="   ").hits == []
    assert not search(query="the of and").is_confident
    assert not search(query="Who won the football world cup in 1990?").is_confident


@pytest.mark.parametrize("query", ["'); DROP TABLE x; --", "a & | ! ( :* \\ '", "%s %(x)s", "\x00"])
def test_it_survives_queries_that_look_like_sql(corpus, no_engine, query):
    search(query=query)


def test_it_uses_the_index_with_the_same_result(corpus, engine, monkeypatch):
    exact = [hit.passage_id for hit in search(query="standby CRAC", leg="vector", k=5).hits]
    monkeypatch.setattr("rag.retrieval.vectors.EXACT_SCAN_LIMIT", 0)

    by_index = [hit.passage_id for hit in search(query="standby CRAC", leg="vector", k=5).hits]

    assert by_index == exact


def test_it_pins_the_number_of_queries(corpus, engine, django_assert_max_num_queries):
    search(query="standby CRAC")  # words, names and the vocabulary are remembered from here on
    with django_assert_max_num_queries(7):
        search(query="standby CRAC")
