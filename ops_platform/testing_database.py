"""Parallel test workers: one runs the migrations, the others copy its database.

Migrating takes about ten seconds of CPU, copying a migrated database a fraction of one.
"""

import fcntl
from pathlib import Path

COPY = "copy"  # the suffix of the copied database's name


class MigratedOnce:
    """The first worker to come migrates and leaves a copy of its database as template; those who
    come meanwhile wait for it.

    ``shared`` is a folder that all workers of the run have in common. `begin` before the worker's
    database is made, `end` after it, `forget` when it has gone. A worker that finds no copy (its
    maker failed, or has ended) migrates.
    """

    def __init__(self, shared: Path) -> None:
        self._note = shared / "migrated-database"  # holds the copy's name
        self._lock = (shared / "migrated-database.lock").open("w")
        self._copied = self._made = False

    def begin(self) -> None:
        from django.db import connection

        fcntl.flock(self._lock, fcntl.LOCK_EX)
        if self._note.exists():
            self._copied = True
            template = self._note.read_text()
            connection.settings_dict["TEST"].update(TEMPLATE=template, MIGRATE=False)

    def end(self) -> None:
        from django.db import connection

        if not self._copied:
            connection.creation.clone_test_db(suffix=COPY, verbosity=0)
            self._note.write_text(connection.creation.get_test_db_clone_settings(COPY)["NAME"])
            self._made = True
        fcntl.flock(self._lock, fcntl.LOCK_UN)

    def forget(self) -> None:
        from django.db import connection

        fcntl.flock(self._lock, fcntl.LOCK_EX)
        if self._made:
            self._note.unlink()
            connection.creation.destroy_test_db(suffix=COPY, verbosity=0)
        self._lock.close()  # lets go of the lock
