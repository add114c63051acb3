"""A small facility of its own, a source, and caches that start empty in every test."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from facilities import partitions
from facilities.ingest import pipeline, points, publish, quarantine, store
from facilities.ingest.auth import senders
from facilities.loader.apply import apply
from facilities.loader.checks import check
from facilities.loader.document import read_document
from facilities.loader.problems import Problems
from facilities.services.sources import source_create
from facilities.whatif import limits

SMALL = Path(__file__).parent / "small.yaml"


def _forget() -> None:
    for module in (points, partitions, pipeline, publish, quarantine, store, limits):
        module.forget()
    senders.forget()


@pytest.fixture(autouse=True)
def _fresh_caches() -> Iterator[None]:
    _forget()
    yield
    _forget()


@pytest.fixture(scope="session")
def _small_document() -> Any:
    """Read and checked once a run: parsing takes as long as loading."""
    problems = Problems()
    document = read_document(SMALL, problems)
    check(document, problems)
    problems.raise_if_any()
    return document


@pytest.fixture
def small_facility(db: None, _small_document: Any) -> None:
    """One hall, two racks, one CRAC with rules; see small.yaml."""
    apply(_small_document, Problems(), prune=False)


@pytest.fixture
def token(small_facility: None) -> str:
    """A source's token in clear."""
    return source_create(name="bms").token


@pytest.fixture
def clean_readings(transactional_db: None) -> Iterator[None]:
    """Empties the readings table, which Django's flush does not know."""
    yield
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE facilities_reading, facilities_rollupmark, facilities_rollup_1m, "
            "facilities_rollup_1h"
        )


def ago(seconds: float) -> str:
    """ISO time that many seconds before now."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


@pytest.fixture
def push(token: str) -> Callable[..., Any]:
    """Push readings given as (point, value) or (point, ts, value); returns the response."""

    def send(*readings: tuple[Any, ...], raw: bytes | None = None, **headers: str) -> Any:
        items = [
            {"point": r[0], "ts": r[1] if len(r) == 3 else ago(1), "value": r[-1]} for r in readings
        ]
        body = raw if raw is not None else json.dumps({"readings": items}).encode()
        headers = {"authorization": f"Token {token}", **headers}
        content_type = headers.pop("content_type", "application/json")
        return Client().post(
            "/api/v1/readings", data=body, content_type=content_type, headers=headers
        )

    return send
