"""Backup while readings come in, restore beside, and whatever may go wrong on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection, transaction

from approvals.audit import audit_append
from facilities import partitions
from ops_platform.backups import Refused, backup, restore
from ops_platform.backups.server import Server, described
from ops_platform.config import BASE_DIR

pytestmark = pytest.mark.django_db(transaction=True)


def quiet(_text: str) -> None:
    """Take progress and say nothing."""


@pytest.fixture
def server(monkeypatch) -> Server:
    """The commands' view of the test database: its own name, not the settings' first one."""
    name = str(connection.settings_dict["NAME"])
    url = settings.CONFIG.database_url.rpartition("/")[0] + f"/{name}"
    monkeypatch.setattr("ops_platform.backups.server.described", lambda _config: described_as(url))
    return described_as(url)


def described_as(url: str) -> Server:
    return described(replace(settings.CONFIG, database_url=url))


def insert(first: int, count: int, ts: datetime) -> None:
    partitions.ensure_partitions([ts.date()])
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO facilities_reading (point_id, ts, value, received_at) "
            "SELECT n, %s, n, now() FROM generate_series(%s, %s) n",
            [ts, first, first + count - 1],
        )
        # As many again elsewhere: a backup that is not one state would see one without the other.
        cursor.execute(
            "INSERT INTO facilities_rollupmark (level, start) "
            "SELECT 1, %s FROM generate_series(1, %s)",
            [ts, count],
        )


@pytest.fixture
def filled() -> Iterator[None]:
    with connection.cursor() as cursor:  # Django's flush does not know these tables
        cursor.execute("TRUNCATE facilities_reading, facilities_rollupmark")
    for n in range(5):
        audit_append(event="test.entry", actor="test", obj=f"thing:{n}", payload={"n": n})
    insert(1, 2000, datetime.now(UTC) - timedelta(days=1))
    yield
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE facilities_reading, facilities_rollupmark")


@pytest.fixture
def other(server) -> Iterator[Server]:
    """An empty database of its own, to restore into."""
    name = f"restore_{os.getpid()}_{time.monotonic_ns()}"
    with server.connect("postgres", admin=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield replace(server, database=name)
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        for (kept,) in admin.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE %s", [f"{name}_before_%"]
        ).fetchall():
            admin.execute(f'DROP DATABASE "{kept}" WITH (FORCE)')


def test_it_restores_one_moment_of_a_database_that_was_in_use(
    server, filled, other, tmp_path, monkeypatch
):
    stop = threading.Event()

    def ingest():
        number = 10_000
        while not stop.is_set():
            insert(number, 50, datetime.now(UTC))
            number += 50
        connection.close()

    thread = threading.Thread(target=ingest)
    thread.start()
    try:
        said: list[str] = []
        manifest = backup(target=tmp_path / "b1", say=said.append)
    finally:
        stop.set()
        thread.join()
    readings = sum(n for t, n in manifest.rows.items() if t.startswith("facilities_reading_2"))
    assert readings == manifest.rows["facilities_rollupmark"] >= 2000
    assert (manifest.rows["approvals_auditentry"], manifest.audit["seq"]) == (5, 5)
    assert (tmp_path / "b1").stat().st_mode & 0o777 == 0o700
    assert [p.name for p in tmp_path.iterdir()] == ["b1"]

    url = f"postgresql://{other.user}:{other.password}@{other.host}:{other.port}/{other.database}"
    environment = os.environ | {"OPS_DATABASE_URL": url}

    def manage(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=BASE_DIR, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    done = manage("restore", str(tmp_path / "b1"))
    assert done.returncode == 0, done.stderr
    assert f"{other.database} is as of {manifest.taken_at}" in done.stdout
    verdict = manage(
        "shell",
        "-v0",
        "-c",
        "from approvals.audit import audit_verify; print(audit_verify().detail)",
    )
    assert "all 5 entries hold" in verdict.stdout
    with other.connect() as restored:  # the trail is as closed as before
        with pytest.raises(psycopg.Error, match="append"):
            restored.execute("DELETE FROM approvals_auditentry")
        found = restored.execute("SELECT count(*) FROM facilities_reading").fetchone()
    assert found == (readings,)

    monkeypatch.setattr("ops_platform.backups.server.described", lambda _config: other)
    with pytest.raises(Refused, match=r"holds \d+ tables; restore with --replace"):
        restore(source=tmp_path / "b1", replace=False, say=quiet)
    with (
        other.connect(),
        pytest.raises(Refused, match="1 other connections use the database"),
    ):
        restore(source=tmp_path / "b1", replace=True, say=quiet)
    with other.connect() as present:
        present.execute("CREATE TABLE only_here (n integer)")
    again = restore(source=tmp_path / "b1", replace=True, say=quiet)
    assert again.kept.startswith(f"{other.database}_before_")
    with other.connect() as present:
        assert present.execute("SELECT to_regclass('only_here')").fetchone() == (None,)
    with other.connect(again.kept) as kept:
        assert kept.execute("SELECT to_regclass('only_here')::text").fetchone() == ("only_here",)


def test_it_refuses_what_is_no_whole_backup(server, filled, other, tmp_path, monkeypatch):
    manifest = backup(target=tmp_path / "b", say=quiet)
    monkeypatch.setattr("ops_platform.backups.server.described", lambda _config: other)

    def broken(name: str) -> Path:
        return Path(shutil.copytree(tmp_path / "b", tmp_path / name))

    def refusal(folder: Path) -> str:
        with pytest.raises(Refused) as refused:
            restore(source=folder, replace=False, say=quiet)
        return str(refused.value)

    folder = broken("flipped")
    body = bytearray((folder / "database.dump").read_bytes())
    body[len(body) // 2] ^= 1
    (folder / "database.dump").write_bytes(body)
    assert "is damaged" in refusal(folder)

    folder = broken("halved")
    (folder / "manifest.json").unlink()
    assert "is no backup: it has no manifest.json" in refusal(folder)

    folder = broken("newer")
    raw = json.loads((folder / "manifest.json").read_text())
    raw["migrations"].append("facilities.9999_from_the_future")
    (folder / "manifest.json").write_text(json.dumps(raw))
    assert "has migration facilities.9999_from_the_future" in refusal(folder)

    folder = broken("miscounted")
    raw["migrations"].pop()
    raw["rows"]["approvals_auditentry"] = 6
    (folder / "manifest.json").write_text(json.dumps(raw))
    assert "table approvals_auditentry has 5 rows after loading, the manifest says 6" in refusal(
        folder
    )
    with other.connect() as untouched:
        assert untouched.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        ).fetchone() == (0,)
    with server.connect("postgres", admin=True) as admin:
        left = admin.execute("SELECT count(*) FROM pg_database WHERE datname LIKE '%restoring%'")
        assert left.fetchone() == (0,)
    with pytest.raises(Refused, match="a backup never overwrites"):
        backup(target=tmp_path / "b", say=quiet)
    with pytest.raises(Refused, match="does not exist; make it first"):
        backup(target=tmp_path / "no" / "b", say=quiet)
    assert manifest.format == 1


def test_it_leaves_nothing_when_the_disk_is_full_or_it_is_interrupted(server, filled, tmp_path):
    """Disk full is a file-size limit here: the same failed write, without filling a disk."""
    url = (
        f"postgresql://{server.user}:{server.password}@{server.host}:{server.port}/"
        f"{server.database}"
    )
    command = [sys.executable, "manage.py", "backup", str(tmp_path / "full")]
    environment = os.environ | {"OPS_DATABASE_URL": url}
    limited = subprocess.run(
        # 8 KiB: Python starts, the dump does not fit. XFSZ ignored: the write fails instead.
        ["bash", "-c", 'trap "" XFSZ; ulimit -f 16; exec "$@"', "bash", *command],
        cwd=BASE_DIR,
        env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert limited.returncode == 1
    assert "no backup was made" in limited.stderr
    assert "Traceback" not in limited.stderr
    assert list(tmp_path.iterdir()) == []

    with transaction.atomic(), connection.cursor() as cursor:
        # pg_dump waits for this lock: time enough to interrupt it.
        cursor.execute("LOCK TABLE facilities_site IN ACCESS EXCLUSIVE MODE")
        child = subprocess.Popen(
            [*command[:-1], str(tmp_path / "cut")],
            cwd=BASE_DIR, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 60  # a Python starts, perhaps beside much other work
        while not list(tmp_path.glob(".cut.partial-*/database.dump")):
            assert time.monotonic() < deadline, child.communicate()
            time.sleep(0.05)
        os.killpg(child.pid, signal.SIGINT)
        _out, told = child.communicate(timeout=20)
    assert child.returncode == 1
    assert "interrupted; no backup was made" in told
    assert list(tmp_path.iterdir()) == []
