"""Put a backup in the place of the database."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ops_platform.backups import Refused, restore


class Command(BaseCommand):
    help = (
        "Check a backup, load it beside the present database, check it again and put it in place. "
        "The product must be stopped; the database that is replaced is kept under another name."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="a folder that `backup` wrote")
        parser.add_argument(
            "--replace", action="store_true", help="replace a database that is not empty"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done = restore(
                source=options["folder"],
                replace=options["replace"],
                say=lambda text: self.stdout.write(f"restore | {text}"),
            )
        except Refused as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError("interrupted; the present database is as it was") from None
        self.stdout.write(
            f"restore | {done.database} is as of {done.manifest.taken_at}: "
            f"{sum(done.manifest.rows.values()):,} rows of {len(done.manifest.rows)} tables"
        )
        if done.kept:
            self.stdout.write(
                f"restore | what was there is kept as the database {done.kept}; drop it when it "
                "is no longer needed"
            )
        if done.pending:
            self.stdout.write(
                f"restore | {len(done.pending)} migrations are newer than the backup; `migrate` "
                "(or `up`) applies them"
            )
