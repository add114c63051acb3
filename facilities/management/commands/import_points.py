"""``manage.py import_points FILE``: the data list from a file, all of it or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from facilities.datalist import ImportProblems, import_apply, import_plan


class Command(BaseCommand):
    """Compare a file with the data list, show every change, apply it."""

    help = "Import points from CSV or YAML; --dry-run only shows what would change."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the file."""
        parser.add_argument("file", type=Path)
        parser.add_argument("--dry-run", action="store_true")

    def handle(self, *args: Any, file: Path, dry_run: bool, **options: Any) -> None:
        """Show the changes and, unless it is a dry run, make them."""
        kind = "yaml" if file.suffix.lower() in (".yaml", ".yml") else "csv"
        try:
            text = file.read_text(encoding="utf-8-sig")
            run = import_plan if dry_run else import_apply
            plan = run(text, format=kind)
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file}: {error}") from error
        except ImportProblems as error:
            raise CommandError(f"{file}: nothing was changed\n{error}") from error
        for change in plan.changes:
            self.stdout.write(f"{'+' if change.new else '~'} {change.tag}")
            for name, before, after in change.fields:
                self.stdout.write(f"    {name}: {before!r} → {after!r}")
        self.stdout.write(
            f"{'would be ' if dry_run else ''}{plan.created} created, {plan.updated} changed, "
            f"{plan.unchanged} as they were"
        )
