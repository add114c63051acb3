"""The HNSW index of an embedding model: one partial index a model, built while everything goes on."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from psycopg import sql

from rag.models import EmbeddingModel

logger = logging.getLogger(__name__)

M, EF_CONSTRUCTION = 16, 64
POLL_S = 0.5

_CREATE = (
    "CREATE INDEX {concurrently} IF NOT EXISTS {name} ON rag_passagevector USING hnsw "
    "((embedding::halfvec({wide})) halfvec_cosine_ops) "
    "WITH (m = {m}, ef_construction = {ef}) WHERE model_id = {model}"
)
_INVALID = "SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"


def index_create(*, model: EmbeddingModel) -> None:
    """Build the model's HNSW index where it is missing, or where a build was broken off.

    Searches and imports go on (CREATE INDEX CONCURRENTLY), and two callers build it once. Inside a
    transaction, where PostgreSQL allows no such build, imports wait until it ends. Minutes for a
    million vectors. Cosine of half precision: half the size at the same recall.
    """
    if connection.in_atomic_block:
        _create(model, concurrently=False)
        return
    with _alone(model):
        if _is_broken(model):
            logger.warning("an unfinished index is built again", extra={"model": model.name})
            index_drop(model=model)
        _create(model, concurrently=True)


def index_drop(*, model: EmbeddingModel) -> None:
    """Drop the model's index, if there is one; its vectors can then only be scanned."""
    how = sql.SQL("" if connection.in_atomic_block else "CONCURRENTLY")
    with connection.cursor() as cursor:
        name = sql.Identifier(index_name(model))
        cursor.execute(
            sql.SQL("DROP INDEX {how} IF EXISTS {name}").format(how=how, name=name),
        )


def index_name(model: EmbeddingModel) -> str:
    """The name of the model's index."""
    return f"rag_vector_hnsw_{model.pk}"


def _create(model: EmbeddingModel, *, concurrently: bool) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL(_CREATE).format(
                concurrently=sql.SQL("CONCURRENTLY" if concurrently else ""),
                name=sql.Identifier(index_name(model)),
                wide=sql.Literal(model.dimensions),
                m=sql.Literal(M),
                ef=sql.Literal(EF_CONSTRUCTION),
                model=sql.Literal(model.pk),
            )
        )


def _is_broken(model: EmbeddingModel) -> bool:
    """Whether a build was killed: PostgreSQL keeps its index, which is never searched, yet kept up
    to date at every import, and which IF NOT EXISTS would take for the finished one."""
    with connection.cursor() as cursor:
        cursor.execute(_INVALID, [index_name(model)])
        row = cursor.fetchone()
    return bool(row and row[0])


@contextmanager
def _alone(model: EmbeddingModel) -> Iterator[None]:
    """One builder of this model's index at a time, until the session ends or the block does.

    Asked again and again rather than waited for: a concurrent build waits for every statement that
    is under way, and so for one that waits for it.
    """
    key = f"hashtextextended('{index_name(model)}', 0)"
    with connection.cursor() as cursor:
        while True:
            cursor.execute(f"SELECT pg_try_advisory_lock({key})")
            if cursor.fetchone()[0]:
                break
            time.sleep(POLL_S)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT pg_advisory_unlock({key})")
