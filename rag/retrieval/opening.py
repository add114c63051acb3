"""What every search asks first, in one query: the model that serves, and the reader's collections."""

from typing import NamedTuple

from rag.access import Reader, scope_sql
from rag.intake.embedding import serving_model
from rag.models import EmbeddingModel
from rag.retrieval.rows import fetch

_FIELDS = ["id", "name", "path", "url", "dimensions", "state"]
_OPENING = """
SELECT coalesce((SELECT array_agg(c.id ORDER BY c.id) FROM rag_collection c WHERE {readable}),
                '{{}}'::bigint[]), {fields}
FROM (VALUES (1)) AS one LEFT JOIN rag_embeddingmodel m ON m.state = 'serving'
"""


class Opening(NamedTuple):
    """`shelves` are the ids of the collections that the reader may read."""

    model: EmbeddingModel
    shelves: tuple[int, ...]


def opening(reader: Reader) -> Opening:
    """Look both up. One query; the bundled model is recorded on a fresh database."""
    readable, parameters = scope_sql(reader)
    fields = ", ".join(f"m.{name}" for name in _FIELDS)
    [(shelves, *values)] = fetch(_OPENING.format(readable=readable, fields=fields), parameters)
    if values[0] is None:
        return Opening(serving_model(), tuple(shelves))
    return Opening(EmbeddingModel.from_db("default", _FIELDS, values), tuple(shelves))
