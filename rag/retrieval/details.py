"""What candidates are and say: the columns, and the query for passages that are known by id."""

import json
from collections.abc import Sequence
from typing import Any

from rag.retrieval.candidates import Details
from rag.retrieval.rows import fetch
from rag.retrieval.scope import JOINED, Scope

# Over the aliases of `JOINED`, in the order of the fields of `Details`.
DETAILS = """
r.id, r.number, d.id, d.slug, coalesce(nullif(r.title, ''), d.title),
coalesce(nullif(r.kind, ''), d.kind), c.slug, p.section_path, p.step, p.page,
p.ordinal, p.anchor, p.text, p.context, p.codes, p.words
"""
_OF_IDS = (
    f"SELECT p.id, {DETAILS} FROM rag_passage p {JOINED} "  # noqa: S608
    "WHERE p.id = ANY(%(ids)s::bigint[]) AND "
)


def details_of(ids: list[int], scope: Scope) -> dict[int, Details]:
    """What the given passages are and say; those outside the scope are left out. One query."""
    if not ids:
        return {}
    condition, parameters = scope.condition()
    rows = fetch(_OF_IDS + condition, parameters | {"ids": ids})
    return {row[0]: details_of_row(row[1:]) for row in rows}


def details_of_row(row: Sequence[Any]) -> Details:
    """From a row of `DETAILS`."""
    path = json.loads(row[7]) if isinstance(row[7], str) else row[7]
    values: list[Any] = [*row[:7], tuple(path), *row[8:14], tuple(row[14]), row[15]]
    return Details(*values)
