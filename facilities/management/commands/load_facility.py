"""``manage.py load_facility FILE``: make the data list agree with a facility file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from facilities.loader import FacilityFileError, load_facility


class Command(BaseCommand):
    """Load a facility file; on any error change nothing and name every line."""

    help = "Load sites, racks, assets, points and alarm rules from a YAML file (docs/facility-file.md)."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the file and --prune."""
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--prune",
            action="store_true",
            help="also delete what is in the database but not in the file, with its readings",
        )

    def handle(self, *args: Any, file: Path, prune: bool, verbosity: int, **options: Any) -> None:
        """Load and print what changed."""
        try:
            report = load_facility(path=file, prune=prune)
        except FacilityFileError as error:
            count = len(error.problems)
            raise CommandError(
                f"{file}: {count} problem{'s' if count != 1 else ''}, nothing changed\n{error}"
            ) from error
        if verbosity:
            self.stdout.write(
                f"{file}: {report.created} created, {report.updated} updated, "
                f"{report.unchanged} unchanged, {report.pruned} removed"
            )
            for name, rows in report.extra.items():
                shown = ", ".join(rows[:5]) + (", …" if len(rows) > 5 else "")
                self.stdout.write(
                    f"{len(rows)} {name} not in the file, kept (--prune removes them): {shown}"
                )
