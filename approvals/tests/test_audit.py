"""The trail cannot be changed, and when somebody with full power over the database does, it shows."""

from __future__ import annotations

import threading
from datetime import UTC, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from approvals.audit import audit_append, audit_verify
from approvals.models import GENESIS, AuditEntry
from approvals.token_uses import token_uses_note
from facilities.alarms.services import alarm_acknowledge
from facilities.models import Alarm, AlarmRule, Point, Source
from facilities.services.sources import source_create, source_revoke, source_rotate
from ops_platform.roles import assign_role

TABLE = "approvals_auditentry"


@pytest.fixture
def trail(db: None) -> list[AuditEntry]:
    return [
        audit_append(
            event="test.fact",
            actor="alice",
            obj=f"thing:{n}",
            payload={"n": n, "share": n / 7, "whole": float(n), "big": 1e22, "text": "21 °C – ö"},
        )
        for n in range(10)
    ]


def test_it_chains_without_gaps(trail: list[AuditEntry]) -> None:
    assert [e.seq for e in trail] == list(range(1, 11))
    assert trail[0].prev_hash == GENESIS
    verdict = audit_verify()
    assert (verdict.ok, verdict.checked, verdict.broken_seq) == (True, 10, None)
    assert verdict.head == trail[-1].hash


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE {TABLE} SET actor = 'mallory' WHERE seq = 4",
        f"UPDATE {TABLE} SET payload = '{{}}' WHERE seq = 4",
        f"DELETE FROM {TABLE} WHERE seq = 10",
        f"TRUNCATE {TABLE}",
        f"INSERT INTO {TABLE} (seq, at, actor, event, object, payload, prev_hash, hash) "
        "VALUES (99, now(), 'm', 'e', '', '{}', repeat('0', 64), repeat('0', 64))",
        f"INSERT INTO {TABLE} (seq, at, actor, event, object, payload, prev_hash, hash) "
        "VALUES (11, now(), 'm', 'e', '', '{}', repeat('0', 64), repeat('0', 64))",
    ],
)
def test_it_refuses_tampering_by_raw_sql(trail: list[AuditEntry], sql: Any, statement: str) -> None:
    # Off in the test database, because transactional tests truncate (see the root conftest.py).
    sql(f"ALTER TABLE {TABLE} ENABLE TRIGGER approvals_audit_no_truncate")
    with pytest.raises(IntegrityError), transaction.atomic():
        sql(statement)
    sql(f"ALTER TABLE {TABLE} DISABLE TRIGGER approvals_audit_no_truncate")
    assert audit_verify().ok


@pytest.mark.parametrize(
    ("statement", "broken", "said"),
    [
        (f"UPDATE {TABLE} SET actor = 'mallory' WHERE seq = 4", 4, "was altered"),
        (f"UPDATE {TABLE} SET payload = '{{}}' WHERE seq = 7", 7, "was altered"),
        (f"UPDATE {TABLE} SET at = at + interval '1 microsecond' WHERE seq = 2", 2, "was altered"),
        (f"UPDATE {TABLE} SET hash = repeat('a', 64) WHERE seq = 5", 5, "was altered"),
        (f"DELETE FROM {TABLE} WHERE seq = 6", 7, "entry 6 is missing"),
        (f"DELETE FROM {TABLE} WHERE seq = 1", 2, "entry 1 is missing"),
        (
            f"UPDATE {TABLE} SET seq = CASE seq WHEN 3 THEN 1003 ELSE 3 END WHERE seq = 3",
            4,
            "entry 3 is missing",
        ),
    ],
)
def test_it_names_the_first_entry_that_was_tampered_with(
    trail: list[AuditEntry], sql: Any, statement: str, broken: int, said: str
) -> None:
    sql(f"ALTER TABLE {TABLE} DISABLE TRIGGER USER")
    sql(statement)
    sql(f"ALTER TABLE {TABLE} ENABLE TRIGGER USER")
    sql(f"ALTER TABLE {TABLE} DISABLE TRIGGER approvals_audit_no_truncate")
    verdict = audit_verify()
    assert not verdict.ok
    assert verdict.broken_seq == broken
    assert said in verdict.detail


@pytest.mark.django_db(transaction=True)
def test_it_chains_concurrent_appends() -> None:
    def append() -> None:
        for n in range(10):
            audit_append(event="test.fact", actor="alice", payload={"n": n})
        connection.close()

    threads = [threading.Thread(target=append) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    verdict = audit_verify()
    assert (verdict.ok, verdict.checked) == (True, 40)


@pytest.mark.django_db
def test_it_records_log_ins_and_failed_ones_without_the_password(operator: Any) -> None:
    client = Client()
    client.post("/login/", {"username": "operator", "password": "wrong-secret"})
    client.post("/login/", {"username": "operator", "password": "correct-horse-battery"})
    entries = list(AuditEntry.objects.filter(event__startswith="login.").order_by("seq"))
    assert [(e.event, e.actor) for e in entries] == [
        ("login.failed", "operator"),
        ("login.succeeded", "operator"),
    ]
    assert "wrong-secret" not in str([e.payload for e in entries])


def test_it_records_who_acknowledged_an_alarm(
    demo_facility: None, operator: Any, django_capture_on_commit_callbacks: Any
) -> None:
    alarm = Alarm.objects.create(
        point=Point.objects.get(tag="crac-2.fault"),
        rule=AlarmRule.objects.get(name="CRAC fault"),
        severity="high",
        message="The unit reports a fault",
        value=1,
        peak_value=1,
        raised_at=timezone.now(),
    )
    with django_capture_on_commit_callbacks(execute=True):
        alarm_acknowledge(alarm_id=alarm.pk, user=operator, note="on my way")
    entry = AuditEntry.objects.get(event="alarm.acknowledged")
    assert (entry.actor, entry.object) == ("operator", f"alarm:{alarm.pk}")
    assert entry.payload == {"point": alarm.point.tag, "note": "on my way"}


@pytest.mark.django_db
def test_it_records_what_happens_to_a_sources_token_but_not_the_token() -> None:
    issued = source_create(name="bms", by="supervisor")
    rotated = source_rotate(source_id=issued.source.pk, by="supervisor")
    source_revoke(source_id=issued.source.pk)
    entries = list(AuditEntry.objects.filter(object="source:bms").order_by("seq"))
    assert [(e.event, e.actor) for e in entries] == [
        ("source.token_issued", "supervisor"),
        ("source.token_rotated", "supervisor"),
        ("source.token_revoked", "system"),
    ]
    told = str([e.payload for e in entries])
    assert issued.token not in told and rotated.token not in told


@pytest.mark.django_db
def test_it_makes_no_token_that_it_cannot_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("approvals.signals.audit_append", full)
    with pytest.raises(OSError, match="disk full"):
        source_create(name="bms")
    assert not Source.objects.filter(name="bms").exists()


@pytest.mark.django_db
def test_it_records_the_use_of_a_sources_token_once_a_day() -> None:
    source = source_create(name="bms").source
    source_create(name="silent")
    now = timezone.now()

    def uses() -> list[str]:
        found = AuditEntry.objects.filter(event="source.token_used").order_by("seq")
        return [f"{e.object} {e.payload['day']}" for e in found]

    assert token_uses_note() == 0
    yesterday = now - timedelta(days=1)
    Source.objects.filter(name="bms").update(last_seen_at=yesterday)
    assert [token_uses_note(), token_uses_note()] == [1, 0]
    Source.objects.filter(name="bms").update(last_seen_at=now)
    assert [token_uses_note(), token_uses_note()] == [1, 0]
    assert uses() == [f"source:bms {at.astimezone(UTC).date()}" for at in (yesterday, now)]
    source_rotate(source_id=source.pk)
    assert token_uses_note() == 1, "another token is another use"
    assert audit_verify().ok


@pytest.mark.django_db
def test_it_records_who_may_sign_from_now_on_but_no_password(operator: Any) -> None:
    assign_role(operator, "supervisor")
    operator.set_password("another-long-password")
    operator.is_active = False
    operator.save()
    found = AuditEntry.objects.filter(object="user:operator").order_by("seq")
    assert [(e.event, e.payload) for e in found] == [
        ("account.created", {}),
        ("role.changed", {"added": ["operator"]}),
        ("role.changed", {"removed": ["operator"]}),
        ("role.changed", {"added": ["supervisor"]}),
        ("password.changed", {}),
        ("account.changed", {"field": "is_active", "value": False}),
    ]
    Client().post("/login/", {"username": "operator", "password": "x"})
    assert "another-long-password" not in str([e.payload for e in AuditEntry.objects.all()])
