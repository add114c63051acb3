"""Write a backup of the database, while the product runs."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ops_platform.backups import Refused, backup


class Command(BaseCommand):
    help = (
        "Write the whole database, at one moment, to a new folder: readings, alarms, documents, "
        "proposals, audit trail. The product may go on running."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="a folder that does not exist yet")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            manifest = backup(
                target=options["folder"], say=lambda text: self.stdout.write(f"backup  | {text}")
            )
        except Refused as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError("interrupted; no backup was made") from None
        self.stdout.write(
            f"backup  | {options['folder']}: {sum(manifest.rows.values()):,} rows of "
            f"{len(manifest.rows)} tables as of {manifest.taken_at}, "
            f"{manifest.dump_bytes / 1e6:,.1f} MB, checksum {manifest.sha256[:12]}…"
        )
        self.stdout.write(f"backup  | not in it: {manifest.not_included}")
