"""`manage.py replay_investigation ID`: draw an investigation's conclusion again from its record."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from approvals.agent.replay import RecordError, replay
from approvals.models import Investigation


class Command(BaseCommand):
    help = (
        "Draw the conclusion of investigations again from what was recorded (no plant, twin, model "
        "or documents) and report any difference. Ends with status 1 where there is one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", type=int, nargs="*", help="ids of investigations")
        parser.add_argument(
            "--latest", type=int, default=0, metavar="N", help="the N latest instead of ids"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        found = Investigation.objects.exclude(outcome="")
        wanted = options["id"]
        if options["latest"]:
            rows = list(found[: options["latest"]])
        else:
            rows = list(found.filter(pk__in=wanted))
            if missing := sorted(set(wanted) - {row.pk for row in rows}):
                raise CommandError(f"no investigation that has ended is called {missing}")
        if not rows:
            raise CommandError("name an investigation, or --latest N")
        different = 0
        for row in rows:
            try:
                found_differences = replay(row.record)
            except RecordError as error:
                self.stdout.write(f"{row.pk}: {error}")
                continue
            different += bool(found_differences)
            verdict = "the same conclusion" if not found_differences else "DIFFERENT"
            self.stdout.write(f"{row.pk}: {verdict}: {row.conclusion}")
            for text in found_differences:
                self.stdout.write(f"    {text}")
        if different:
            raise CommandError(f"{different} of {len(rows)} differ from their record")
