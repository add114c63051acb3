"""One request of readings, from checked sender to durable rows."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from django.conf import settings
from django.db import DatabaseError, IntegrityError, connection, transaction

from facilities.ingest import points as point_cache
from facilities.ingest.errors import IngestError
from facilities.ingest.publish import publish
from facilities.ingest.store import Stored, store
from facilities.ingest.validate import Rejection, validate
from facilities.models import Source
from facilities.services.sources import token_hash

logger = logging.getLogger(__name__)

SEEN_EVERY = timedelta(seconds=10)


class Sender(NamedTuple):
    """The source behind a token, and the data list's version at that moment."""

    source_id: int
    name: str
    last_seen_at: datetime | None
    data_list_version: int | None


class IngestResult(NamedTuple):
    """Counts of one request. Duplicates of stored readings count as accepted."""

    accepted: int
    rejected: list[Rejection]


def authenticate(header: str) -> Sender:
    """Find the source of an ``Authorization`` header with one query.

    Raises ``IngestError`` 401 that says whether the token is missing, unknown, switched off or
    expired.
    """
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() not in ("token", "bearer") or not token:
        raise IngestError(
            401, "bad_token", "send Authorization: Token <source token> (or Bearer <source token>)"
        )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, name, active, expires_at, last_seen_at, "
            "(SELECT version FROM facilities_datalistversion WHERE id = 1) "
            "FROM facilities_source WHERE token_hash = %s",
            [token_hash(token)],
        )
        row = cursor.fetchone()
    if row is None:
        raise IngestError(401, "bad_token", "no source has this token; create_source makes one")
    source_id, name, active, expires_at, last_seen_at, version = row
    if not active:
        raise IngestError(401, "bad_token", f"source {name} is switched off")
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise IngestError(401, "bad_token", f"the token of source {name} expired on {expires_at}")
    return Sender(source_id, name, last_seen_at, version)


def ingest(*, items: Sequence[Any], sender: Sender) -> IngestResult:
    """Validate the items and commit those that pass before returning.

    Raises ``django.db.OperationalError`` when the database is away; then nothing is stored.
    """
    now = time.time()
    received_at = datetime.fromtimestamp(now, UTC)
    version = sender.data_list_version
    for attempt in (1, 2):
        table = point_cache.point_table(version)
        valid = validate(
            items, table.by_tag, now=now, retention_s=settings.RETENTION_DAYS * 86_400.0
        )
        try:
            stored = store(valid.readings, source_id=sender.source_id, now=received_at)
            break
        except IntegrityError:
            # A point was deleted after its row was read. The second try sees it as unknown.
            if attempt == 2:
                raise
            point_cache.forget()
            version = None
    _after_commit(stored, table, sender, received_at)
    return IngestResult(len(valid.readings), valid.rejected)


def _after_commit(
    stored: Stored, table: point_cache.PointTable, sender: Sender, now: datetime
) -> None:
    if stored.latest:
        transaction.on_commit(partial(publish, stored.latest, table.by_id), robust=True)
    if sender.last_seen_at is None or now - sender.last_seen_at > SEEN_EVERY:
        try:
            with transaction.atomic():
                Source.objects.filter(pk=sender.source_id).update(last_seen_at=now)
        except DatabaseError as error:
            # The readings are stored; a missing time stamp must not turn that into a failure.
            logger.warning("source %s: last_seen_at not updated: %s", sender.name, error)
