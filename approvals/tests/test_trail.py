"""The trail outside the database: exported, anchored, and checked by a command that needs neither."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.management import call_command
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import strategies as st

from approvals.anchors import anchors_make, trail_as_lines
from approvals.audit import audit_append, audit_verify
from approvals.canonical import digest_of
from approvals.chain import GENESIS, Link, link_from_json, walk
from approvals.models import AuditEntry
from approvals.tests.conftest import PASSWORD
from approvals.verify_trail import main

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def chain(size: int) -> list[Link]:
    links: list[Link] = []
    prev = GENESIS
    for seq in range(1, size + 1):
        content = {
            "seq": seq, "at": f"2026-03-01T00:00:{seq:02d}.000000Z", "actor": "alice",
            "event": "test.fact", "object": "", "payload": {"n": seq}, "prev_hash": prev,
        }  # fmt: skip
        link = Link(content, "")
        prev = digest_of(content)
        links.append(Link(link.content, prev))
    return links


@given(st.integers(2, 12), st.data())
def test_it_finds_any_altered_missing_or_reordered_entry(size: int, data: Any) -> None:
    links = chain(size)
    assert walk(links).ok
    at = data.draw(st.integers(0, size - 2))
    match data.draw(st.sampled_from(["alter", "remove", "swap", "rehash", "repeat"])):
        case "alter":
            content = {**links[at].content, "payload": {"n": -1}}
            broken = [*links[:at], Link(content, links[at].hash), *links[at + 1 :]]
        case "remove":
            broken = links[:at] + links[at + 1 :]
        case "swap":
            broken = [*links[:at], links[at + 1], links[at], *links[at + 2 :]]
        case "rehash":
            content = {**links[at].content, "payload": {"n": -1}}
            broken = [*links[:at], Link(content, digest_of(content)), *links[at + 1 :]]
        case _:
            broken = [*links[: at + 1], links[at], *links[at + 1 :]]
    verdict = walk(broken)
    assert not verdict.ok
    assert verdict.checked <= at + 1


@pytest.fixture
def days(db: None, monkeypatch: pytest.MonkeyPatch) -> list[AuditEntry]:
    """Three entries a day on 1 to 3 March and one today."""
    entries: list[AuditEntry] = []
    for day in (-3, -3, -3, -2, -2, -2, -1, -1, -1, 0):
        at = NOW + timedelta(days=day, minutes=len(entries))
        monkeypatch.setattr("approvals.audit.timezone.now", lambda at=at: at)
        entries.append(audit_append(event="test.fact", actor="alice", payload={"share": 1 / 7}))
    monkeypatch.setattr("approvals.anchors.timezone.now", lambda: NOW)
    return entries


def test_it_anchors_each_finished_day_once(days: list[AuditEntry]) -> None:
    assert [(str(a.day), a.seq) for a in anchors_make()] == [
        ("2026-03-01", 3), ("2026-03-02", 6), ("2026-03-03", 9),
    ]  # fmt: skip
    assert anchors_make() == []
    verdict = audit_verify()
    assert (verdict.ok, verdict.checked, verdict.anchors) == (True, 10, 3)


@pytest.mark.parametrize("statement", ["UPDATE {} SET seq = 1", "DELETE FROM {}"])
def test_it_keeps_anchors_as_they_are(days: list[AuditEntry], sql: Any, statement: str) -> None:
    anchors_make()
    with pytest.raises(IntegrityError), transaction.atomic():
        sql(statement.format("approvals_auditanchor"))


def test_it_notices_a_trail_that_was_rewritten_as_a_whole(days: list[AuditEntry], sql: Any) -> None:
    anchors_make()
    sql("ALTER TABLE approvals_auditentry DISABLE TRIGGER USER")
    prev = GENESIS
    for entry in AuditEntry.objects.order_by("seq"):
        entry.actor, entry.prev_hash = "mallory", prev
        entry.hash = prev = entry.computed_hash()
        sql(
            "UPDATE approvals_auditentry SET actor = 'mallory', "
            f"prev_hash = '{entry.prev_hash}', hash = '{entry.hash}' WHERE seq = {entry.seq}"
        )
    sql("ALTER TABLE approvals_auditentry ENABLE TRIGGER USER")
    sql("ALTER TABLE approvals_auditentry DISABLE TRIGGER approvals_audit_no_truncate")
    verdict = audit_verify()
    assert not verdict.ok
    assert "not the one that was anchored on 2026-03-01" in verdict.detail


def test_it_verifies_an_export_without_django(
    days: list[AuditEntry], tmp_path: Path, capsys: Any
) -> None:
    trail, anchors = tmp_path / "trail.jsonl.gz", tmp_path / "anchors.jsonl"
    call_command("export_audit", "--out", str(trail), "--anchors", str(anchors))
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.modules['django'] = None\n"
         "from approvals.verify_trail import main; sys.exit(main(sys.argv[1:]))",
         str(trail), "--anchors", str(anchors)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "OK: all 10 entries hold, 3 anchors agree" in done.stdout

    lines = gzip.decompress(trail.read_bytes()).decode().splitlines()
    cut = tmp_path / "cut.jsonl"
    cut.write_text("\n".join(lines[:8]))
    assert main([str(cut)]) == 0, "nothing tells that the end is missing"
    assert main([str(cut), "--anchors", str(anchors)]) == 1
    assert "its end was cut off" in capsys.readouterr().out

    row = json.loads(lines[4])
    row["actor"] = "mallory"
    altered = tmp_path / "altered.jsonl"
    altered.write_text("\n".join([*lines[:4], json.dumps(row), *lines[5:]]))
    assert main([str(altered)]) == 1
    assert "entry 5 was altered" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["not json", "[1]", '{"seq": 1}', '{"seq": "1", "at": ""}'])
def test_it_says_which_file_cannot_be_read(tmp_path: Path, text: str, capsys: Any) -> None:
    path = tmp_path / "trail.jsonl"
    path.write_text(text)
    assert main([str(path)]) == 2
    assert "cannot read" in capsys.readouterr().err
    assert main([str(tmp_path / "absent.jsonl")]) == 2


def test_it_exports_what_the_database_holds(days: list[AuditEntry]) -> None:
    assert walk(link_from_json(json.loads(line)) for line in trail_as_lines()).ok


async def whole(response: Any) -> bytes:
    return b"".join([part async for part in response])


def test_it_serves_both_files_to_people_who_are_signed_in(
    days: list[AuditEntry], client: Any, client_as: Any, viewer: Any
) -> None:
    anchors_make()
    paths = {
        "/api/v1/audit/export": 13,
        "/api/v1/audit/anchors": 3,
    }  # account, role and log-in besides
    for path in paths:
        assert client.get(path).status_code in (401, 403)
    signed_in = client_as(viewer)
    for path, count in paths.items():
        response = signed_in.get(path)
        assert response["Content-Disposition"].startswith("attachment")
        assert len(async_to_sync(whole)(response).splitlines()) == count


@pytest.fixture
def gate_events(make_proposal: Any, operator: Any, supervisor: Any, admin: Any) -> list[str]:
    """A trail with every kind of decision in it; its events in order."""
    from approvals.services import (
        break_glass_review,
        proposal_approve,
        proposal_reject,
        proposal_revise,
    )

    fan = make_proposal("set_fan_speed", "crac-1", {"fan_speed_pct": 85.0})
    made = proposal_revise(
        proposal_id=fan.pk, user=operator, digest=fan.digest, params={"fan_speed_pct": 90}
    )
    proposal_reject(proposal_id=made.pk, user=supervisor, reason="not now")
    hot = make_proposal("shed_rack_load", "rack-1-03", {"load_cap_pct": 70.0})
    proposal_approve(
        proposal_id=hot.pk, user=supervisor, digest=hot.digest, password=PASSWORD,
        break_glass=True, reason="Nobody answers and row 1 is hot.",
    )  # fmt: skip
    case = hot.decisions.get().break_glass
    break_glass_review(break_glass_id=case.pk, user=admin, verdict="justified", comment="seen")
    return list(AuditEntry.objects.order_by("seq").values_list("event", flat=True))


def test_it_finds_tampering_with_any_event_of_the_gate(
    gate_events: list[str], sql: Any, tmp_path: Path
) -> None:
    """By the platform and by the offline verifier, whatever the entry says."""
    assert {
        "proposal.revised", "proposal.superseded", "decision.reject", "decision.approve",
        "reauthentication.succeeded", "break_glass.used", "break_glass.reviewed",
    } <= set(gate_events)  # fmt: skip
    good = [json.loads(line) for line in trail_as_lines()]
    whole = tmp_path / "trail.jsonl"
    whole.write_text("".join(trail_as_lines()))
    assert main([str(whole)]) == 0
    for seq, event in enumerate(gate_events, start=1):
        row = {**good[seq - 1], "actor": "mallory"}
        links = [link_from_json(r) for r in (*good[: seq - 1], row, *good[seq:])]
        verdict = walk(links)
        assert (verdict.ok, verdict.broken_seq) == (False, seq), event
    sql("SET CONSTRAINTS ALL IMMEDIATE")
    sql("ALTER TABLE approvals_auditentry DISABLE TRIGGER USER")
    at = gate_events.index("break_glass.used") + 1
    sql(
        'UPDATE approvals_auditentry SET payload = payload || \'{"reason": "fine"}\' WHERE seq = %s',
        at,
    )
    verdict = audit_verify()
    assert (verdict.ok, verdict.broken_seq) == (False, at)
    whole.write_text("".join(trail_as_lines()))
    assert main([str(whole)]) == 1
