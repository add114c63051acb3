"""The audit trail: one writer, one walker.

Appends are serialised by a transaction-scoped advisory lock, so `seq` has no gaps and each hash
covers the one before it. Lock order everywhere: proposal row first, audit lock last; one proposal
per transaction. Foreign keys are checked at commit, when the audit lock is already held, so row
locks on proposals are NO KEY ones, which those checks pass.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db import connection, transaction
from django.utils import timezone

from approvals.models import GENESIS, AuditEntry

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
            actor=actor[:150],
            event=event,
            object=obj,
            payload=payload or {},
            prev_hash=last[1] if last else GENESIS,
        )
        entry.hash = entry.computed_hash()
        entry.save(force_insert=True)
    return entry


class AuditVerdict(NamedTuple):
    """Result of walking the chain.

    `broken_seq` is the first entry that does not hold, None when all do.

    `head` is the newest hash: kept elsewhere, it also proves later that nothing was cut off the
    end.
    """

    ok: bool
    checked: int
    broken_seq: int | None
    detail: str
    head: str


def audit_verify() -> AuditVerdict:
    """Walk the whole chain in order. Streams rows: memory stays flat."""
    expected_seq, prev_hash = 1, GENESIS
    for entry in AuditEntry.objects.order_by("seq").iterator(chunk_size=2000):
        problem = _problem(entry, expected_seq, prev_hash)
        if problem:
            return AuditVerdict(False, expected_seq - 1, entry.seq, problem, prev_hash)
        expected_seq, prev_hash = entry.seq + 1, entry.hash
    checked = expected_seq - 1
    return AuditVerdict(True, checked, None, f"all {checked} entries hold", prev_hash)


def _problem(entry: AuditEntry, expected_seq: int, prev_hash: str) -> str:
    if entry.seq != expected_seq:
        return f"entry {expected_seq} is missing: the next one found is {entry.seq}"
    if entry.prev_hash != prev_hash:
        return f"entry {entry.seq} does not follow entry {entry.seq - 1}: its prev_hash is another"
    if entry.computed_hash() != entry.hash:
        return f"entry {entry.seq} was altered: its content no longer matches its hash"
    return ""
