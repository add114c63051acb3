"""Somebody with full power over the database against the trail and the tables of evidence.

What each way of tampering meets: the chain alone, the anchors of this database, the anchors that
were taken off the machine.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from approvals.anchors import anchors_as_lines, anchors_make, trail_as_lines
from approvals.audit import audit_append, audit_verify
from approvals.chain import walk
from approvals.models import AuditAnchor, AuditEntry
from approvals.tests.conftest import MakeProposal
from approvals.verify_trail import main

pytestmark = pytest.mark.django_db
TABLE = "approvals_auditentry"
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
Sql = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def kept(db: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sql: Sql) -> Path:
    """Three entries on each of three days and two today; anchored, and the anchors taken away.

    The guards are off: from here on somebody is the database's owner.
    """
    for n in range(11):
        at = NOW - timedelta(days=3 - n // 3, minutes=-n)
        monkeypatch.setattr("approvals.audit.timezone.now", lambda at=at: at)
        audit_append(event="test.fact", actor="alice", obj=f"thing:{n}", payload={"n": n})
    monkeypatch.setattr("approvals.anchors.timezone.now", lambda: NOW)
    assert [a.seq for a in anchors_make()] == [3, 6, 9]
    anchors = tmp_path / "anchors.jsonl"
    anchors.write_text("".join(anchors_as_lines()))
    sql("SET CONSTRAINTS ALL IMMEDIATE")
    for table in (TABLE, "approvals_auditanchor"):
        sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    return anchors


def rechain(sql: Sql, first: int) -> None:
    """Recompute every hash from `first` on, as somebody who has read our code would."""
    entries = list(AuditEntry.objects.filter(seq__gte=first - 1).order_by("seq"))
    prev = entries.pop(0).hash if first > 1 else "0" * 64
    for entry in entries:
        entry.prev_hash = prev
        entry.hash = prev = entry.computed_hash()
        sql(
            f"UPDATE {TABLE} SET prev_hash = %s, hash = %s WHERE seq = %s",
            entry.prev_hash, entry.hash, entry.seq,
        )  # fmt: skip


def alter(sql: Sql) -> None:
    sql(f"UPDATE {TABLE} SET payload = '{{\"n\": 99}}' WHERE seq = 5")


def delete(sql: Sql) -> None:
    sql(f"DELETE FROM {TABLE} WHERE seq = 5")


def reorder(sql: Sql) -> None:
    """Two entries change places, with everything but their numbers."""
    sql(f"UPDATE {TABLE} SET seq = -5 WHERE seq = 5")
    sql(f"UPDATE {TABLE} SET seq = 5 WHERE seq = 7")
    sql(f"UPDATE {TABLE} SET seq = 7 WHERE seq = -5")


def insert(sql: Sql) -> None:
    sql(f"UPDATE {TABLE} SET seq = seq + 100 WHERE seq > 4")
    sql(f"UPDATE {TABLE} SET seq = seq - 99 WHERE seq > 100")
    sql(
        f"INSERT INTO {TABLE} (seq, at, actor, event, object, payload, prev_hash, hash) "
        "SELECT 5, at, 'mallory', event, object, payload, hash, repeat('a', 64) "
        f"FROM {TABLE} WHERE seq = 4"
    )


def swap_hashes(sql: Sql) -> None:
    sql(
        f"UPDATE {TABLE} a SET hash = b.hash FROM {TABLE} b WHERE (a.seq, b.seq) IN ((5, 7), (7, 5))"
    )


def alter_and_rechain(sql: Sql) -> None:
    alter(sql)
    rechain(sql, 5)


def delete_and_rechain(sql: Sql) -> None:
    delete(sql)
    sql(f"UPDATE {TABLE} SET seq = seq + 100 WHERE seq > 5")
    sql(f"UPDATE {TABLE} SET seq = seq - 101 WHERE seq > 100")
    rechain(sql, 5)


def cut_the_tail(sql: Sql) -> None:
    sql(f"DELETE FROM {TABLE} WHERE seq > 7")


def cut_and_write_another(sql: Sql) -> None:
    sql(f"UPDATE {TABLE} SET actor = 'mallory' WHERE seq > 7")
    rechain(sql, 8)


@pytest.mark.parametrize(
    ("tamper", "chain_finds"),
    [
        (alter, True), (delete, True), (reorder, True), (insert, True), (swap_hashes, True),
        (alter_and_rechain, False), (delete_and_rechain, False), (cut_the_tail, False),
        (cut_and_write_another, False),
    ],
)  # fmt: skip
def test_it_finds_every_way_of_tampering(
    kept: Path, sql: Sql, tmp_path: Path, tamper: Callable[[Sql], None], chain_finds: bool
) -> None:
    """By the chain where hashes were not recomputed, by the anchors wherever they were."""
    assert audit_verify().ok
    tamper(sql)
    links = [entry_link(entry) for entry in AuditEntry.objects.order_by("seq")]
    assert walk(links).ok is not chain_finds, "without anchors"
    assert not audit_verify().ok
    trail = tmp_path / "trail.jsonl"
    trail.write_text("".join(trail_as_lines()))
    assert main([str(trail), "--anchors", str(kept)]) == 1
    assert main([str(trail)]) == (1 if chain_finds else 0)


def entry_link(entry: AuditEntry) -> Any:
    from approvals.chain import Link

    return Link(entry.content(), entry.hash)


def test_it_is_found_by_anchors_elsewhere_alone_when_those_here_are_rewritten_too(
    kept: Path, sql: Sql, tmp_path: Path
) -> None:
    """The limit of a chain in one database, proven: who owns it can write another history."""
    alter_and_rechain(sql)
    for anchor in AuditAnchor.objects.all():
        now = AuditEntry.objects.get(seq=anchor.seq).hash
        sql("UPDATE approvals_auditanchor SET hash = %s WHERE day = %s", now, anchor.day)
    assert audit_verify().ok, "nothing in here tells"
    trail = tmp_path / "trail.jsonl"
    trail.write_text("".join(trail_as_lines()))
    assert main([str(trail)]) == 0
    assert main([str(trail), "--anchors", str(kept)]) == 1, "what was taken away tells"


def test_it_is_found_by_the_head_kept_elsewhere_when_todays_end_is_cut(
    kept: Path, sql: Sql
) -> None:
    """Entries after the newest anchor: only a later head, or tomorrow's anchor, knows of them."""
    head = audit_verify().head
    sql(f"DELETE FROM {TABLE} WHERE seq = 11")
    assert audit_verify().ok and audit_verify().head != head


EVIDENCE = importlib.import_module("approvals.migrations.0017_keys_and_evidence").EVIDENCE


def test_it_refuses_to_empty_any_table_of_evidence(db: None, sql: Sql) -> None:
    """Each by a trigger of its own, which the test database has switched off (conftest.py)."""
    sql("SET CONSTRAINTS ALL IMMEDIATE")
    for table in (*EVIDENCE, TABLE):
        [(trigger,)] = sql(
            "SELECT tgname FROM pg_trigger WHERE tgtype & 32 <> 0 AND tgrelid = %s::regclass", table
        )
        sql(f"ALTER TABLE {table} ENABLE TRIGGER {trigger}")
        with (
            pytest.raises(IntegrityError, match=f"{table} is append-only: TRUNCATE refused"),
            transaction.atomic(),
        ):
            sql(f"TRUNCATE {table} CASCADE")
        sql(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")


def test_it_counts_no_signatures_of_a_temporary_table(
    make_proposal: MakeProposal, operator: Any, sql: Sql
) -> None:
    """A table of one's own session in front of the real one would forge approvals."""
    proposal = make_proposal()
    sql("SET CONSTRAINTS ALL IMMEDIATE")
    sql("CREATE TEMP TABLE approvals_decision (LIKE public.approvals_decision)")
    sql(
        "INSERT INTO pg_temp.approvals_decision (id, proposal_id, user_id, verdict, reason, digest,"
        " round, role, reauthenticated, is_break_glass, at)"
        " VALUES (1, %s, %s, 'approve', 'x', %s, 1, 'admin', 'password', false, now())",
        proposal.pk, operator.pk, proposal.digest,
    )  # fmt: skip
    with pytest.raises(IntegrityError, match="has not the signatures"), transaction.atomic():
        sql("UPDATE approvals_proposal SET state = 'approved' WHERE id = %s", proposal.pk)
    loose = sql(
        "SELECT proname FROM pg_proc WHERE proname LIKE 'approvals\\_%%' AND proconfig IS NULL "
        "AND %s", True,
    )  # fmt: skip
    assert loose == []


def test_it_says_in_the_export_what_the_rows_say(kept: Path) -> None:
    rows = [json.loads(line) for line in trail_as_lines()]
    assert [row["seq"] for row in rows] == list(range(1, 12))
