"""The word leg against BM25 by its definition, and the postings against the passages."""

import random
from collections import Counter
from datetime import timedelta
from math import log

import pytest
from django.db import connection
from django.utils import timezone

from rag.access import OPEN_ONLY, Reader
from rag.codes import codes
from rag.models import Collection, Document, Passage, Revision, RevisionState
from rag.retrieval.allowed import allowed_of
from rag.retrieval.expansion import Query, Term
from rag.retrieval.lexical import CONTEXT_WEIGHT, K1, B, bm25, weights_of
from rag.retrieval.scope import Scope
from rag.retrieval.vocabulary import forget, vocabulary

_WORDS = """
pump valve fan unit start stop cooling standby filter pressure breaker battery alarm leak water the
of and a reset drain node rack supply return temperature sensor generator transfer switch
"""
WORDS = _WORDS.split()
NAMES = ["CRAC-2", "CRAC-12", "XID 79", "XID 7", "UPS A", "srv-05-gpu-3"]

pytestmark = pytest.mark.django_db


def _text(rng: random.Random, words: int) -> str:
    # Squared: the first words are frequent, the last ones rare.
    picked = [WORDS[int(rng.random() ** 2 * len(WORDS))] for _ in range(words)]
    picked += rng.sample(NAMES, rng.randint(0, 2))
    rng.shuffle(picked)
    return " ".join(picked)


def _document(
    rng: random.Random, slug: str, shelf: Collection, *, kind: str = "manual"
) -> Document:
    return Document.objects.create(
        collection=shelf, slug=slug, title=slug, kind=kind, source_path=slug, sha256="0" * 64
    )


def _revision(rng: random.Random, document: Document, number: int = 1, **fields) -> Revision:
    since = timezone.now() - timedelta(days=10)
    revision = Revision.objects.create(
        document=document,
        number=number,
        **{"state": RevisionState.READY, "effective_from": since, "sha256": "0" * 64, **fields},
    )
    Passage.objects.bulk_create(_passage(rng, revision, n) for n in range(rng.randint(1, 6)))
    return revision


def _passage(rng: random.Random, revision: Revision, ordinal: int) -> Passage:
    text, context = _text(rng, rng.randint(2, 40)), _text(rng, rng.randint(1, 4))
    return Passage(
        revision=revision,
        ordinal=ordinal,
        anchor=f"p-{ordinal}",
        text=text,
        context=context,
        codes=codes(f"{context}\n{text}"),
        words=len(text.split()),
    )


@pytest.fixture
def shelves() -> list[Collection]:
    return [Collection.objects.create(slug=name, name=name) for name in ("one", "two")]


def _library(seed: int, shelves: list[Collection]) -> None:
    """Fourteen documents; some superseded, withdrawn, in the future, failed."""
    rng = random.Random(seed)
    now = timezone.now()
    for n in range(14):
        kind = rng.choice(["manual", "sop"])
        document = _document(rng, f"d{seed}-{n}", rng.choice(shelves), kind=kind)
        state = rng.choice(
            ["plain", "plain", "plain", "superseded", "withdrawn", "later", "failed"]
        )
        if state == "superseded":
            _revision(rng, document, 1, superseded_at=now - timedelta(hours=1))
            _revision(rng, document, 2)
        elif state == "withdrawn":
            _revision(rng, document)
            Document.objects.filter(pk=document.pk).update(withdrawn_at=now - timedelta(hours=1))
        elif state == "later":
            _revision(rng, document, effective_from=now + timedelta(days=1))
        elif state == "failed":
            _revision(rng, document, state=RevisionState.FAILED)
        else:
            _revision(rng, document)


def _by_definition(query: Query, scope: Scope) -> dict[int, float]:
    """BM25 over the passages in scope from their text vectors, one at a time."""
    revisions = Revision.objects.in_force(scope.at)
    if scope.collection:
        revisions = revisions.filter(document__collection__slug=scope.collection)
    if scope.kinds:
        revisions = revisions.filter(document__kind__in=scope.kinds)
    words = dict(Passage.objects.filter(revision__in=revisions).values_list("pk", "words"))
    tf: dict[int, dict[str, float]] = {key: {} for key in words}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT p.id, u.lexeme, u.weights FROM rag_passage p, unnest(p.tsv) u WHERE p.id = ANY(%s)",
            [list(words)],
        )
        for key, lexeme, weights in cursor.fetchall():
            tf[key][lexeme] = (
                sum(CONTEXT_WEIGHT if weight == "A" else 1 for weight in weights) if weights else 1
            )
    df = Counter(lexeme for found in tf.values() for lexeme in found)
    mean = max(1.0, sum(words.values()) / len(words)) if words else 1.0
    scores: dict[int, float] = {}
    for key, found in tf.items():
        for lexeme, weight in weights_of(query).items():
            if lexeme in found:
                idf = log(1 + (len(words) - df[lexeme] + 0.5) / (df[lexeme] + 0.5))
                norm = K1 * (1 - B + B * words[key] / mean)
                part = weight * idf * found[lexeme] * (K1 + 1) / (found[lexeme] + norm)
                scores[key] = scores.get(key, 0.0) + part
    return scores


def _query(text: str, *added: tuple[str, float]) -> Query:
    terms = tuple(Term(word) for word in text.split()) + tuple(Term(*extra) for extra in added)
    return Query(text, text, terms, tuple(codes(text)), text)


def _check(query: Query, scope: Scope) -> int:
    """Compare scores, order and cut with the definition; returns how many passages matched."""
    expected = _by_definition(query, scope)
    found = bm25(query, allowed_of(scope))
    ids = found.best(1000)
    assert set(ids) == set(expected)
    scores = {key: score.bm25 for key, score in found.of(ids).items()}
    assert scores == pytest.approx(expected, rel=1e-9)
    by_rank = sorted(expected, key=lambda key: (-round(expected[key], 9), key))
    assert [round(expected[key], 9) for key in found.best(5)] == [
        round(expected[key], 9) for key in by_rank[:5]
    ]
    return len(expected)


@pytest.mark.parametrize("seed", range(4))
def test_it_scores_as_bm25_is_defined(shelves, seed):
    _library(seed, shelves)
    rng = random.Random(seed)
    matched = 0
    for _ in range(6):
        query = _query(_text(rng, rng.randint(1, 8)), ("circulator", 0.6), ("pump", 0.5))
        for scope in (
            Scope.of(reader=Reader(sees_all=True)),
            Scope.of(collection="one"),
            Scope.of(kinds=["sop"]),
            Scope.of(at=timezone.now() - timedelta(hours=2)),
            Scope.of(collection="two", kinds=["manual"], at=timezone.now() + timedelta(days=2)),
        ):
            matched += _check(query, scope)
    assert matched > 100


def test_it_follows_changes_deletions_and_new_revisions(shelves):
    rng = random.Random(9)
    _library(9, shelves)
    query = _query("the standby pump of CRAC-2 trips XID 79 battery")
    changed = Passage.objects.filter(revision__in=Revision.objects.in_force())[0]
    changed.text, changed.words = "standby standby pump", 3
    changed.save()
    _check(query, Scope.of())
    Document.objects.filter(slug__in=["d9-0", "d9-3"]).delete()
    _check(query, Scope.of())
    before = len(bm25(query, allowed_of(Scope.of())).best(1000))
    document = _document(rng, "new", shelves[0])
    old = _revision(rng, document)
    Revision.objects.filter(pk=old.pk).update(superseded_at=timezone.now())
    _revision(rng, document, 2)
    assert _check(query, Scope.of()) >= before
    _check(query, Scope.of(at=timezone.now() - timedelta(minutes=5)))


def _postings() -> dict[tuple[int, str], tuple[int, int, int]]:
    """Every posting of living passages: words, occurrences in title and in text."""
    living = set(Passage.objects.values_list("pk", flat=True))
    found = {}
    with connection.cursor() as cursor:
        cursor.execute("SELECT lexeme, block, data FROM rag_posting")
        for lexeme, block, data in cursor.fetchall():
            packed = bytes(data)
            for n in range(0, len(packed), 6):
                key = block * 4096 + int.from_bytes(packed[n : n + 2])
                entry = (int.from_bytes(packed[n + 2 : n + 4]), packed[n + 4], packed[n + 5])
                if key in living:
                    assert (key, lexeme) not in found
                    found[key, lexeme] = entry
    return found


def test_it_keeps_postings_that_a_rebuild_would_make(shelves):
    _library(3, shelves)
    Passage.objects.filter(ordinal=1).update(text="pump pump standby CRAC-2", words=4)
    Document.objects.filter(slug__in=["d3-1", "d3-2"]).delete()
    kept = _postings()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rag_postings_rebuild((SELECT array_agg(DISTINCT block) FROM rag_posting)), "
            "rag_segments_write((SELECT array_agg(id) FROM rag_revision))"
        )
        cursor.execute("SELECT sum(passages), sum(words) FROM rag_segment")
        totals = cursor.fetchone()

    assert kept == _postings()
    assert totals[0] == Passage.objects.count() > 10
    assert totals[1] == sum(Passage.objects.values_list("words", flat=True))


def test_it_forgets_a_block_of_which_half_is_gone(shelves):
    _library(5, shelves)
    Document.objects.exclude(slug="d5-0").delete()
    left = Passage.objects.count()

    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(length(data)) / 6 FROM rag_posting WHERE lexeme = ''")
        assert left <= cursor.fetchone()[0] <= 2 * left


def test_it_counts_what_a_reader_may_see_only(shelves, django_user_model):
    from django.contrib.auth.models import Group

    rng = random.Random(1)
    group = Group.objects.create(name="closed shelf")
    shelves[1].groups.add(group)
    open_document = _document(rng, "open", shelves[0])
    hidden = _document(rng, "hidden", shelves[1])
    for document, text in ((open_document, "chiller start"), (hidden, "chiller zebra")):
        revision = _revision(rng, document)
        revision.passages.all().delete()
        passage = _passage(rng, revision, 9)
        passage.text, passage.context, passage.codes = text, "", []
        passage.save()
    query = _query("chiller zebra")

    seen = bm25(query, allowed_of(Scope.of(reader=OPEN_ONLY)))
    member = bm25(query, allowed_of(Scope.of(reader=Reader(frozenset({group.pk})))))

    assert {term.term: term.df for term in seen.terms} == {"chiller": 1, "zebra": 0}
    assert {term.term: term.df for term in member.terms} == {"chiller": 2, "zebra": 1}
    assert len(seen.best(9)) == 1
    assert len(member.best(9)) == 2


def test_it_knows_the_vocabulary_with_frequencies(shelves):
    rng = random.Random(2)
    revision = _revision(rng, _document(rng, "v", shelves[0]))
    revision.passages.all().delete()
    for n in range(2):
        passage = _passage(rng, revision, n)
        passage.text, passage.context, passage.codes = "quixotic chillers", "", ["crac-77"]
        passage.save()
    forget()

    counts = vocabulary([shelf.pk for shelf in shelves])

    assert (counts["quixot"], counts["crac-77"]) == (2, 2)
    assert "" not in counts


def test_it_counts_the_words_of_the_given_collections_only(shelves):
    """In one block: the closed collection's words, alone and beside the open one's."""
    rng = random.Random(3)
    for shelf, text in zip(shelves, ("quixotic chillers", "zephyr chillers"), strict=False):
        revision = _revision(rng, _document(rng, f"only-{shelf.slug}", shelf))
        revision.passages.all().delete()
        passage = _passage(rng, revision, 1)
        passage.text, passage.context, passage.codes = text, "", []
        passage.save()
    forget()

    first, second = (vocabulary([shelf.pk]) for shelf in shelves[:2])

    assert first["quixot"] == 1
    assert "zephyr" not in first
    assert second["zephyr"] == 1
    assert "quixot" not in second
    assert vocabulary([]) == {}
    both = vocabulary([shelf.pk for shelf in shelves[:2]])
    assert both["chiller"] == first["chiller"] + second["chiller"]


def test_it_finds_nothing_for_stop_words_and_in_an_empty_library(db):
    assert bm25(_query("the of and"), allowed_of(Scope.of())).best(5) == []
    assert bm25(_query("pump"), allowed_of(Scope.of())).best(5) == []
