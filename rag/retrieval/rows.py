"""Queries in the binary protocol with server-side parameters, on Django's own connection.

Django's cursors write parameters into the text of the query and read results as text; bitmaps and
postings of some hundred kilobytes would be spelled in hexadecimal both ways. Queries are prepared
(planning a search's joins takes longer than running them), and what belongs together is sent
together: a way to the server and back costs about as much as a small query.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection

# Django turns prepared statements off for its own queries; those here name theirs themselves.
PREPARE_AFTER = 5

Rows = list[tuple[Any, ...]]


class Sent:
    """Queries under way, in one round trip. Inside the block of `sent` they are added, and Python
    can do something else meanwhile; after it `rows` has what they found, in their order."""

    def __init__(self) -> None:
        self.rows: list[Rows] = []
        self._cursors: list[psycopg.Cursor[Any]] = []

    def add(self, query: str, parameters: dict[str, Any]) -> None:
        """Send one more; the server begins at once."""
        cursor = psycopg.Cursor(connection.connection)
        cursor.execute(query, parameters, binary=True, prepare=True)
        self._cursors.append(cursor)
        if connection.queries_logged:
            connection.queries_log.append({"sql": query, "time": "sent"})

    def receive(self) -> None:
        """Read all results."""
        for cursor in self._cursors:
            self.rows.append(cursor.fetchall())
            cursor.close()


@contextmanager
def sent() -> Iterator[Sent]:
    """Send queries together. They run in the transaction that is open, or in one of their own, so
    that a setting made `local` by one holds for the next; raises Django's database errors."""
    raw = _connection()
    found = Sent()
    with connection.wrap_database_errors:
        with raw.pipeline():
            yield found
        found.receive()


def fetch(query: str, parameters: dict[str, Any]) -> Rows:
    """All rows. Runs in the transaction that is open, is counted like every query in tests, and
    raises Django's database errors."""
    raw = _connection()
    started = time.perf_counter()
    with connection.wrap_database_errors, psycopg.Cursor(raw) as cursor:
        cursor.execute(query, parameters, binary=True, prepare=True)
        rows = cursor.fetchall()
    if connection.queries_logged:
        took = f"{time.perf_counter() - started:.3f}"
        connection.queries_log.append({"sql": query, "time": took})
    return rows


def _connection() -> "psycopg.Connection[Any]":
    connection.ensure_connection()
    raw: psycopg.Connection[Any] = connection.connection
    if raw.prepare_threshold is None:
        raw.prepare_threshold = PREPARE_AFTER
    return raw
