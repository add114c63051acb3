"""Which sources used their token, in the audit trail: one entry per source, token and UTC day.

A source pushes up to thousands of times a minute, and `facilities` knows nothing of the trail; it
records when it last heard of a source, and the beat reads that.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db import connection, transaction
from django.utils import timezone

from approvals.audit import AUDIT_LOCK, SYSTEM, audit_append
from approvals.canonical import iso_utc
from approvals.models import AuditEntry
from facilities.models import Source

EVENT = "source.token_used"
# Longer than the beat may stand still without a day being missed.
LOOK_BACK = timedelta(days=2)


def token_uses_note() -> int:
    """Write what is not in the trail yet; returns how many entries. Safe to repeat and at the same
    time.
    """
    since = timezone.now() - LOOK_BACK
    heard = Source.objects.filter(last_seen_at__gt=since).order_by("pk")
    uses = [(s.name, _day(at), s.token_prefix, at) for s in heard if (at := s.last_seen_at)]
    if not uses:
        return 0
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [AUDIT_LOCK])
        known = {
            (obj, payload.get("day"), payload.get("token"))
            for obj, payload in AuditEntry.objects.filter(
                event=EVENT, at__gt=since - timedelta(days=1)
            ).values_list("object", "payload")
        }
        new = [use for use in uses if (f"source:{use[0]}", use[1], use[2]) not in known]
        for name, day, token, at in new:
            audit_append(
                event=EVENT,
                actor=SYSTEM,
                obj=f"source:{name}",
                payload={"day": day, "token": token, "seen_at": iso_utc(at)},
            )
    return len(new)


def _day(at: datetime) -> str:
    return at.astimezone(UTC).date().isoformat()
