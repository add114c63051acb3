"""Reading a backup back: checked first, loaded beside, checked again, then put in place."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from psycopg import sql

from .dump import DUMP, FORMAT, MANIFEST, Manifest, audit_head, checksum, row_counts
from .server import Refused, Server, running, tool


@dataclass(frozen=True)
class Restored:
    """What a restore did. ``kept`` names the database that was replaced, "" if it was empty."""

    manifest: Manifest
    database: str
    kept: str
    pending: list[str]


def restore(*, source: Path, replace: bool, say: Callable[[str], None]) -> Restored:
    """Load the backup in ``source``. Without ``replace`` the present database must be empty.

    The backup is checked (manifest, checksum, versions) before anything is touched, loaded into a
    database of its own, checked again (rows of every table, head of the audit trail), and only
    then renamed into place; the database it replaces is kept under another name. Where the role
    may make no databases, the backup goes into the empty database in one transaction. Raises
    `Refused`.
    """
    manifest = read_manifest(source)
    pending = _compare_versions(manifest)
    say("checking the checksum")
    if checksum(source / DUMP) != manifest.sha256:
        raise Refused(f"{source / DUMP} is damaged: its checksum is not the manifest's")
    try:
        with running(exclusively=True) as server:
            present = _tables(server)
            if present and not replace:
                raise Refused(
                    f"the database {server.database} holds {present} tables; restore with "
                    "--replace to put the backup in its place (it is kept under another name)"
                )
            if server.may_make_databases():
                kept = _beside(server, source, manifest, bool(present), say)
            elif present:
                raise Refused(
                    f"the role {server.user} may not make databases, so {server.database} cannot "
                    "be replaced: make an empty database, point OPS_DATABASE_URL to it, and "
                    "restore there"
                )
            else:
                _load(server, server.database, source, say)
                _check(server, server.database, manifest)
                kept = ""
            return Restored(manifest, server.database, kept, pending)
    except psycopg.OperationalError as error:
        raise Refused(f"the database does not answer: {str(error).strip()}") from error


def read_manifest(source: Path) -> Manifest:
    """The manifest of a backup. Raises `Refused` when there is none, or an unknown one."""
    path = source / MANIFEST
    try:
        raw = json.loads(path.read_text())
    except FileNotFoundError:
        raise Refused(
            f"{source} is no backup: it has no {MANIFEST}, which is written last"
        ) from None
    except (OSError, ValueError) as error:
        raise Refused(f"{path} cannot be read: {error}") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise Refused(f"{path}: this version of the product reads backups of format {FORMAT}")
    if {f.name for f in fields(Manifest)} != set(raw):
        raise Refused(f"{path} is incomplete")
    if not (source / DUMP).is_file():
        raise Refused(f"{source} is no backup: {DUMP} is missing")
    return Manifest(**raw)


def _compare_versions(manifest: Manifest) -> list[str]:
    """Migrations that will be pending after the restore. A newer backup is refused."""
    known = {f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations}
    unknown = [name for name in manifest.migrations if name not in known]
    if unknown:
        raise Refused(
            f"the backup comes from Holdpoint {manifest.product}, which is newer than this one: "
            f"it has migration {unknown[0]}. Install that version first"
        )
    return sorted(known - set(manifest.migrations))


def _tables(server: Server) -> int:
    with server.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        ).fetchone()
    return int(row[0]) if row else 0


def _beside(
    server: Server, source: Path, manifest: Manifest, present: bool, say: Callable[[str], None]
) -> str:
    stamp = datetime.now(UTC).strftime("%Y%m%d_%H%M%S")
    fresh, kept = f"{server.database}_restoring_{stamp}", f"{server.database}_before_{stamp}"
    # Django's own pool would keep the old database in use.
    connections.close_all()
    for alias in connections:
        getattr(connections[alias], "close_pool", lambda: None)()
    with server.connect("postgres", admin=True) as admin:
        _refuse_company(admin, server.database)
        _make(admin, server, fresh)
        try:
            _load(server, fresh, source, say)
            say("checking what was loaded")
            _check(server, fresh, manifest)
            _refuse_company(admin, server.database)
            admin.execute(_rename(server.database, kept))
        except BaseException:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(fresh)))
            raise
        try:
            admin.execute(_rename(fresh, server.database))
        except psycopg.Error:
            admin.execute(_rename(kept, server.database))
            raise
        if not present:
            admin.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(kept)))
    return kept if present else ""


def _make(admin: psycopg.Connection[Any], server: Server, name: str) -> None:
    admin.execute(
        sql.SQL("CREATE DATABASE {} OWNER {}").format(
            sql.Identifier(name), sql.Identifier(server.user)
        )
    )
    with server.connect(name, admin=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")


def _rename(old: str, new: str) -> sql.Composed:
    return sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
        sql.Identifier(old), sql.Identifier(new)
    )


def _refuse_company(admin: psycopg.Connection[Any], database: str) -> None:
    row = admin.execute(
        "SELECT count(*), min(application_name) FROM pg_stat_activity "
        "WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
        [database],
    ).fetchone()
    if row and row[0]:
        raise Refused(
            f"{row[0]} other connections use the database {database}: stop the product (web, "
            "workers, beat) before restoring"
        )


def _load(server: Server, database: str, source: Path, say: Callable[[str], None]) -> None:
    say(f"loading into {database}")
    done = subprocess.run(
        tool(
            *("pg_restore", "--exit-on-error", "--single-transaction", "--no-owner"),
            *("--no-privileges", "--no-comments", f"--dbname={database}", str(source / DUMP)),
        ),
        env=server.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Refused(
            f"pg_restore failed, the present database is as it was: {done.stderr.strip()[-800:]}"
        )


def _check(server: Server, database: str, manifest: Manifest) -> None:
    with server.connect(database) as connection:
        found, head = row_counts(connection), audit_head(connection)
        connection.execute("ANALYZE")
    for table, rows in manifest.rows.items():
        if found.get(table) != rows:
            raise Refused(
                f"table {table} has {found.get(table)} rows after loading, the manifest says "
                f"{rows}; the present database is as it was"
            )
    if head != manifest.audit:
        raise Refused("the audit trail does not end where the manifest says it does")
