"""The PostgreSQL that holds the product's database, and its tools."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
from django.conf import settings

from ops_platform.config import Config, read_secret
from ops_platform.embedded import leftovers
from ops_platform.embedded.postgres import ADMIN_ROLE, Postgres, binaries

START_TIMEOUT_S = 30.0


class Refused(Exception):
    """The command cannot go on; the text says why and what to do. Nothing was changed."""


@dataclass(frozen=True)
class Server:
    """Where the database is, who it belongs to, and who may make others (None: nobody known)."""

    host: str
    port: int
    user: str
    password: str
    database: str
    admin_user: str
    admin_password: str

    def connect(self, database: str = "", *, admin: bool = False) -> psycopg.Connection[Any]:
        """Open a connection; the caller closes it. Never times out on an idle transaction."""
        return psycopg.connect(
            host=self.host,
            port=self.port,
            user=self.admin_user if admin else self.user,
            password=self.admin_password if admin else self.password,
            dbname=database or self.database,
            connect_timeout=5,
            autocommit=True,
            options="-c idle_in_transaction_session_timeout=0 -c statement_timeout=0",
        )

    def environment(self) -> dict[str, str]:
        """For PostgreSQL's tools: the password must not stand in the list of processes."""
        return os.environ | {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGOPTIONS": "-c idle_in_transaction_session_timeout=0 -c statement_timeout=0",
        }

    def may_make_databases(self) -> bool:
        """Whether the administrator known here may create and rename databases."""
        with self.connect(admin=True) as admin:
            found = admin.execute(
                "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
            ).fetchone()
        return bool(found and found[0])


def tool(name: str, *arguments: str) -> list[str]:
    """Command line of one of PostgreSQL's tools, from the installed wheel."""
    return [str(binaries() / name), *arguments]


def described(config: Config) -> Server:
    """The server of the product's database URL."""
    parts = urlsplit(config.database_url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    embedded = config.embedded_database
    return Server(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 5432,
        user=user,
        password=password,
        database=unquote(parts.path.lstrip("/")),
        admin_user=ADMIN_ROLE if embedded else user,
        admin_password=read_secret(config.data_dir, "postgres-admin") if embedded else password,
    )


@contextmanager
def running(*, exclusively: bool) -> Iterator[Server]:
    """The server, started for the time being when it is the embedded one and does not run.

    ``exclusively``: nothing else of the product may run over it. Raises `Refused`.
    """
    config: Config = settings.CONFIG
    server = described(config)
    if not config.embedded_database:
        yield server
        return
    postgres = Postgres(config.data_dir, config.ports.postgres)
    if not (postgres.folder / "PG_VERSION").exists() and not exclusively:
        raise Refused(f"there is no database in {postgres.folder}; has the product ever run here?")
    try:
        held = leftovers.lock(config.data_dir)
    except leftovers.AlreadyRunning as error:
        if exclusively:
            raise Refused(str(error)) from None
        yield server
        return
    with held, _started(postgres):
        yield described(config)


@contextmanager
def _started(postgres: Postgres) -> Iterator[None]:
    if postgres.accepts_connections():
        yield
        return
    postgres.initialise()
    with (postgres.data_dir / "postgres.log").open("ab") as log:
        child = subprocess.Popen(
            postgres.command(),
            stdout=log,
            stderr=log,
            start_new_session=True,
            **postgres.popen_arguments(),  # type: ignore[call-overload]
        )
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not postgres.accepts_connections():
            if child.poll() is not None or time.monotonic() > deadline:
                raise Refused(f"PostgreSQL did not start; see {postgres.data_dir}/postgres.log")
            time.sleep(0.1)
        postgres.prepare_database()
        yield
    finally:
        if child.poll() is None:
            child.send_signal(2)  # SIGINT: roll back, disconnect, write out, end
            child.wait(60)
