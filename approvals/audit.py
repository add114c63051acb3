"""The audit trail: one writer, one walker.

Appends are serialised by a transaction-scoped advisory lock, so `seq` has no gaps and each hash
covers the one before it. Lock order everywhere: proposal row first, audit lock last; one proposal
per transaction. Foreign keys are checked at commit, when the audit lock is already held, so row
locks on proposals are NO KEY ones, which those checks pass.
"""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from approvals.canonical import storable
from approvals.chain import GENESIS, Anchor, AuditVerdict, Link, walk
from approvals.models import AuditAnchor, AuditEntry

# Arbitrary but fixed: names the audit chain among PostgreSQL's advisory locks.
AUDIT_LOCK = 0x484F4C44

AGENT = "agent"
SYSTEM = "system"


def audit_append(
    *, event: str, actor: str, obj: str = "", payload: dict[str, Any] | None = None
) -> AuditEntry:
    """Append one fact in the caller's transaction; it commits or vanishes with what it describes.

    Holds the audit lock until that transaction ends: call it late and keep network I/O out of the
    transaction.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [AUDIT_LOCK])
        last = AuditEntry.objects.order_by("-seq").values_list("seq", "hash").first()
        entry = AuditEntry(
            seq=last[0] + 1 if last else 1,
            at=timezone.now(),
            actor=storable(actor)[:150],
            event=event,
            object=storable(obj),
            payload=storable(payload or {}),
            prev_hash=last[1] if last else GENESIS,
        )
        entry.hash = entry.computed_hash()
        entry.save(force_insert=True)
    return entry


def audit_verify() -> AuditVerdict:
    """Walk the whole chain in order, and every anchor in it. Streams rows: memory stays flat."""
    entries = AuditEntry.objects.order_by("seq").iterator(chunk_size=2000)
    anchors = [Anchor(str(a.day), a.seq, a.hash) for a in AuditAnchor.objects.all()]
    return walk((Link(entry.content(), entry.hash) for entry in entries), anchors)
