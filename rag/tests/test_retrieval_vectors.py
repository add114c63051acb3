"""The vector leg over 900 random vectors: the index, its filters, and when it is not enough."""

from datetime import timedelta

import numpy as np
import pytest
from django.contrib.auth.models import Group
from django.db import DataError, OperationalError, connection, transaction
from django.utils import timezone

from rag.access import Reader
from rag.models import Collection, Document, EmbeddingModel, Passage, PassageVector, Revision
from rag.retrieval import vector_index, vectors
from rag.retrieval.allowed import allowed_of
from rag.retrieval.rows import sent
from rag.retrieval.scope import Scope

SIZES = {"large": 700, "small": 150, "closed": 30, "past": 20}

pytestmark = pytest.mark.django_db


def _model() -> EmbeddingModel:
    return EmbeddingModel.objects.get(name="small")


@pytest.fixture
def library(db) -> np.ndarray:
    """Four collections; returns all vectors in order of passage id, shape (900, 24)."""
    model = EmbeddingModel.objects.create(name="small", dimensions=24)
    vector_index.index_create(model=model)
    rng = np.random.default_rng(4)
    made = rng.standard_normal((sum(SIZES.values()), model.dimensions)).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    rows = iter(made)
    yesterday = timezone.now() - timedelta(days=1)
    for slug, size in SIZES.items():
        shelf = Collection.objects.create(slug=slug, name=slug)
        document = Document.objects.create(
            collection=shelf, slug=slug, title=slug, kind="manual", source_path=slug, sha256="0"
        )
        revision = Revision.objects.create(
            document=document,
            number=1,
            state="ready",
            effective_from=yesterday - timedelta(days=9),
            superseded_at=yesterday if slug == "past" else None,
            sha256="0",
        )
        passages = Passage.objects.bulk_create(
            Passage(revision=revision, ordinal=n, anchor=f"p-{n}", text=f"{slug} {n}", words=2)
            for n in range(size)
        )
        PassageVector.objects.bulk_create(
            PassageVector(passage=passage, model=model, embedding=next(rows).tolist())
            for passage in passages
        )
    Collection.objects.get(slug="closed").groups.add(Group.objects.create(name="wardens"))
    return made


def _order(made: np.ndarray, query: np.ndarray, scope: Scope) -> list[int]:
    """Ids in scope by cosine, computed here."""
    ids = list(Passage.objects.order_by("id").values_list("id", flat=True))
    inside = set(
        Passage.objects.filter(
            revision__in=Revision.objects.in_force(scope.at),
            **(
                {"revision__document__collection__slug": scope.collection}
                if scope.collection
                else {}
            ),
        ).values_list("id", flat=True)
    )
    cosine = made @ query
    return [ids[n] for n in np.argsort(-cosine, kind="stable") if ids[n] in inside]


def _nearest(query: np.ndarray, scope: Scope, limit: int = 10) -> vectors.Nearest:
    with transaction.atomic():
        return vectors.nearest(query.tolist(), allowed_of(scope), model=_model(), limit=limit)


@pytest.mark.parametrize("limit", [0, 20_000])
@pytest.mark.parametrize("collection", [None, "large", "small"])
def test_it_finds_the_nearest_by_index_as_by_scan(library, monkeypatch, limit, collection):
    monkeypatch.setattr(vectors, "EXACT_SCAN_LIMIT", limit)
    scope = Scope.of(reader=Reader(sees_all=True), collection=collection)
    found = 0
    for n in range(8):
        query = library[n * 100]
        nearest = _nearest(query, scope)
        assert nearest.path == ("exact" if limit else "index")
        assert list(nearest.similarities.values()) == sorted(
            nearest.similarities.values(), reverse=True
        )
        found += len(set(nearest.similarities) & set(_order(library, query, scope)[:10]))
    assert found >= (80 if limit else 76)


def test_it_asks_the_index(library, monkeypatch):
    monkeypatch.setattr(vectors, "EXACT_SCAN_LIMIT", 0)
    model, allowed = _model(), allowed_of(Scope.of())
    with transaction.atomic(), connection.cursor() as cursor:
        vectors.fetch(vectors._SETTINGS, {"ef": "100"})
        query = vectors._BY_INDEX.format(model=model.pk, wide=model.dimensions, limit=10)
        cursor.execute(
            "EXPLAIN " + query,
            {
                "vector": str(library[0].tolist()),
                "bits": allowed.bits,
                "low": allowed.low,
                "high": allowed.low + 899,
            },
        )
        plan = "\n".join(row[0] for row in cursor.fetchall())

    assert f"Index Scan using {vector_index.index_name(model)}" in plan


@pytest.mark.parametrize("limit", [0, 20_000])
def test_it_stays_within_what_the_reader_may_see_and_what_is_in_force(library, monkeypatch, limit):
    monkeypatch.setattr(vectors, "EXACT_SCAN_LIMIT", limit)
    slug_of = dict(Passage.objects.values_list("id", "revision__document__slug"))
    past = timezone.now() - timedelta(days=3)
    member = Reader(frozenset(Group.objects.filter(name="wardens").values_list("pk", flat=True)))

    def seen(scope: Scope) -> set[str]:
        query = library[-40]  # one of the closed collection
        return {slug_of[key] for key in _nearest(query, scope, limit=900).similarities}

    assert seen(Scope.of()) == {"large", "small"}
    assert seen(Scope.of(reader=member)) == {"large", "small", "closed"}
    assert seen(Scope.of(at=past)) == {"large", "small", "past"}
    assert seen(Scope.of(collection="closed")) == set()
    assert seen(Scope.of(kinds=["sop"])) == set()


def test_it_scans_when_the_index_comes_back_short(library, monkeypatch):
    monkeypatch.setattr(vectors, "EXACT_SCAN_LIMIT", 0)
    monkeypatch.setattr(vectors, "MAX_EF_SEARCH", 10)
    query = library[0]
    scope = Scope.of(collection="past", at=timezone.now() - timedelta(days=3))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL hnsw.max_scan_tuples = 1")

    nearest = _nearest(query, scope, limit=10)

    assert nearest.path == "fallback"
    assert list(nearest.similarities) == _order(library, query, scope)[:10]


def test_it_makes_and_drops_the_index_of_a_model(db):
    model = EmbeddingModel.objects.create(name="other", dimensions=8)

    def exists() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s)", [vector_index.index_name(model)])
            return cursor.fetchone()[0] is not None

    assert not exists()
    for _ in range(2):
        vector_index.index_create(model=model)
        assert exists()
    for _ in range(2):
        vector_index.index_drop(model=model)
        assert not exists()


def test_it_compares_vectors_of_one_model_only(library):
    other = EmbeddingModel.objects.create(name="other", dimensions=8)
    passage = Passage.objects.order_by("id")[0]
    PassageVector.objects.create(passage=passage, model=other, embedding=[1.0] + [0.0] * 7)
    allowed = allowed_of(Scope.of())

    found = vectors.nearest([1.0] + [0.0] * 7, allowed, model=other, limit=5)

    assert found.similarities == {passage.pk: pytest.approx(1.0)}
    ids = [passage.pk, passage.pk + 1]
    assert vectors.similarities([1.0] + [0.0] * 7, ids, model=other) == {
        passage.pk: pytest.approx(1.0)
    }


def _validity(model: EmbeddingModel) -> bool | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)",
            [vector_index.index_name(model)],
        )
        row = cursor.fetchone()
    return row[0] if row else None


@pytest.mark.django_db(transaction=True)
def test_it_builds_an_index_again_whose_build_was_killed():
    """Beside a writer: the build waits for it, is cancelled, and leaves an index that no search
    may use."""
    model = EmbeddingModel.objects.create(name="killed", dimensions=8)
    writer = connection.copy()
    try:
        with writer.cursor() as cursor:
            cursor.execute("BEGIN; LOCK TABLE rag_passagevector IN ROW EXCLUSIVE MODE")
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = '200ms'")
        with pytest.raises(OperationalError, match="statement timeout"):
            vector_index.index_create(model=model)
        assert _validity(model) is False
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET statement_timeout")
        writer.close()

    vector_index.index_create(model=model)
    assert _validity(model) is True
    vector_index.index_create(model=model)
    vector_index.index_drop(model=model)
    assert _validity(model) is None


def test_it_gives_rows_in_order_and_survives_an_error_in_a_round_trip(db):
    with sent() as together:
        together.add("SELECT set_config('hnsw.ef_search', %(ef)s, true)", {"ef": "77"})
        together.add("SELECT current_setting('hnsw.ef_search')", {})
    assert together.rows == [[("77",)], [("77",)]]

    with pytest.raises(DataError), transaction.atomic(), sent() as together:
        together.add("SELECT 1 / %(n)s::integer", {"n": 0})
        together.add("SELECT 1", {})
    for _ in range(7):  # as a prepared statement too
        assert vectors.fetch("SELECT %(n)s::integer + 1", {"n": 1}) == [(2,)]
