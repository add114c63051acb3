"""Queries in the binary protocol with server-side parameters, on Django's own connection.

Django's cursors write parameters into the text of the query and read results as text; bitmaps and
postings of some hundred kilobytes would be spelled in hexadecimal both ways.
"""

import time
from typing import Any

import psycopg
from django.db import connection


def fetch(query: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    """All rows. Runs in the transaction that is open, is counted like every query in tests, and
    raises Django's database errors."""
    connection.ensure_connection()
    started = time.perf_counter()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(query, parameters, binary=True)
        rows = cursor.fetchall()
    if connection.queries_logged:
        took = f"{time.perf_counter() - started:.3f}"
        connection.queries_log.append({"sql": query, "time": took})
    return rows
