"""Writing a backup: one consistent state, while the product runs."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from psycopg import sql

from .server import Refused, Server, running, tool

DUMP = "database.dump"
MANIFEST = "manifest.json"
FORMAT = 1
NOT_INCLUDED = (
    "secrets (OPS_DATA_DIR/secrets or your own), language models, Redis (running tasks), logs"
)
TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg_toast%' ORDER BY 1, 2
"""
"""Tables that hold rows: plain ones and partitions, not the parents of partitions."""


@dataclass(frozen=True)
class Manifest:
    """What a backup holds. ``rows`` by table; ``sha256`` of the dump."""

    format: int
    product: str
    taken_at: str
    server_version: str
    database: str
    dump_bytes: int
    sha256: str
    migrations: list[str]
    rows: dict[str, int]
    audit: dict[str, Any] = field(default_factory=dict)
    not_included: str = NOT_INCLUDED


def backup(*, target: Path, say: Callable[[str], None]) -> Manifest:
    """Write a backup to ``target``, a folder that does not exist yet.

    It is the database at one moment (one repeatable-read snapshot), taken while the product runs.
    It is made beside its place and renamed at the end: whatever goes wrong, there is no half
    backup under that name. Raises `Refused`.
    """
    target = target.absolute()
    if target.exists():
        raise Refused(f"{target} exists already; a backup never overwrites: name a new folder")
    if not target.parent.is_dir():
        raise Refused(f"the folder {target.parent} does not exist; make it first")
    partial = target.with_name(f".{target.name}.partial-{secrets.token_hex(4)}")
    try:
        with running(exclusively=False) as server:
            partial.mkdir(mode=0o700)
            manifest = _write(server, partial, say)
        partial.rename(target)
        _sync(target.parent)
    except OSError as error:
        raise Refused(f"the backup could not be written to {target.parent}: {error}") from error
    except psycopg.OperationalError as error:
        raise Refused(
            f"the database at {settings.CONFIG.database_url.rpartition('@')[2]} does not answer: "
            f"{str(error).strip()}"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def _write(server: Server, folder: Path, say: Callable[[str], None]) -> Manifest:
    with server.connect() as holder:
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        snapshot = _one(holder, "SELECT pg_export_snapshot()")
        taken_at = datetime.now(UTC)
        _dump(server, snapshot, folder / DUMP, say)
        say("counting rows")
        rows = row_counts(holder)
        migrations = [
            f"{app}.{name}"
            for app, name in holder.execute("SELECT app, name FROM django_migrations ORDER BY id")
        ]
        audit = audit_head(holder)
        version = _one(holder, "SHOW server_version")
        holder.execute("ROLLBACK")
    say("computing the checksum")
    manifest = Manifest(
        format=FORMAT,
        product=settings.VERSION,
        taken_at=taken_at.isoformat(),
        server_version=version,
        database=server.database,
        dump_bytes=(folder / DUMP).stat().st_size,
        sha256=checksum(folder / DUMP),
        migrations=migrations,
        rows=rows,
        audit=audit,
    )
    _sync(folder / DUMP)
    path = folder / MANIFEST
    path.write_text(json.dumps(asdict(manifest), indent=1) + "\n")
    _sync(path)
    _sync(folder)
    return manifest


def _dump(server: Server, snapshot: str, path: Path, say: Callable[[str], None]) -> None:
    command = tool(
        *("pg_dump", "--format=custom", "--compress=gzip:1", "--no-owner", "--no-privileges"),
        *("--no-comments", f"--snapshot={snapshot}", f"--file={path}", server.database),
    )
    with subprocess.Popen(
        command, env=server.environment(), stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            started = said = time.monotonic()
            while child.poll() is None:
                time.sleep(0.1)
                if time.monotonic() - said > 2:
                    said = time.monotonic()
                    size = path.stat().st_size if path.exists() else 0
                    say(f"{size / 1e6:,.0f} MB written in {said - started:.0f} s")
        except BaseException:
            child.send_signal(signal.SIGTERM)
            raise
        told = child.stderr.read() if child.stderr else ""
    if "terminated by user" in told:  # Ctrl-C reached the child first
        raise KeyboardInterrupt
    if child.returncode != 0:
        raise Refused(f"pg_dump failed, no backup was made: {told.strip()[-800:]}")


def row_counts(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """Rows of every table, as this transaction sees them."""
    tables = connection.execute(TABLES).fetchall()
    return {
        name: int(
            _one(
                connection,
                sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name)),
            )
        )
        for schema, name in tables
    }


def audit_head(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """Number and hash of the newest entry of the audit trail; empty without one."""
    row = connection.execute(
        "SELECT seq, hash FROM approvals_auditentry ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    return {"seq": row[0], "hash": row[1]} if row else {}


def checksum(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _one(connection: psycopg.Connection[Any], statement: Any) -> Any:
    row = connection.execute(statement).fetchone()
    assert row is not None  # noqa: S101 (an aggregate always gives a row)
    return row[0]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
