"""Turn the readings and rollups over to TimescaleDB or Citus, once."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from facilities import layout


class Command(BaseCommand):
    help = (
        "Turn readings and rollups into hypertables (OPS_STORE_LAYOUT=timescaledb) or distributed "
        "tables (citus). Run it once, with the product stopped, after a backup."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="print the SQL, change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["dry_run"]:
                for statement in layout.conversion(settings.STORE_LAYOUT):
                    self.stdout.write(f"{statement};")
                return
            done = layout.convert()
        except layout.NotPossible as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"the store is {settings.STORE_LAYOUT}'s now: {len(done)} statements")
