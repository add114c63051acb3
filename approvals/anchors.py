"""Daily anchors: the newest entry of each finished day, to be kept where nobody who can write to
this database can reach (the log shipper's archive, a colleague's mailbox, paper).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from approvals.audit import AUDIT_LOCK
from approvals.canonical import canonical_json
from approvals.models import AuditAnchor, AuditEntry

log = logging.getLogger(__name__)


def anchors_make() -> list[AuditAnchor]:
    """Anchor every finished UTC day that has entries and no anchor yet. Safe to repeat.

    The anchor is written to the log as well, which usually leaves the machine.
    """
    today = timezone.now().astimezone(UTC).date()
    made: list[AuditAnchor] = []
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [AUDIT_LOCK])
        newest = AuditAnchor.objects.order_by("-day").first()
        since = AuditEntry.objects.order_by("seq")
        if newest is not None:
            since = since.filter(seq__gt=newest.seq)
        first = since.values_list("at", flat=True).first()
        if first is None:
            return []
        day = first.astimezone(UTC).date()
        while day < today:
            ends = datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC)
            last = AuditEntry.objects.filter(at__lt=ends).order_by("-seq").first()
            if last is not None and (newest is None or last.seq > newest.seq):
                newest = AuditAnchor.objects.create(day=day, seq=last.seq, hash=last.hash)
                made.append(newest)
            day += timedelta(days=1)
    for anchor in made:
        log.info(
            "audit anchor", extra={"day": str(anchor.day), "seq": anchor.seq, "hash": anchor.hash}
        )
    return made


def anchors_as_lines() -> Iterator[str]:
    """Every anchor as one line of canonical JSON, oldest first."""
    for anchor in AuditAnchor.objects.order_by("day"):
        yield _line({"day": str(anchor.day), "seq": anchor.seq, "hash": anchor.hash})


def trail_as_lines() -> Iterator[str]:
    """Every entry as one line of canonical JSON with its hash, oldest first. Memory stays flat."""
    for entry in AuditEntry.objects.order_by("seq").iterator(chunk_size=2000):
        yield _line({**entry.content(), "hash": entry.hash})


def _line(row: dict[str, Any]) -> str:
    return canonical_json(row) + "\n"
