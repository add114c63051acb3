"""`export_audit [--out FILE] [--anchors FILE]`: the trail and its anchors, to be kept elsewhere."""

from __future__ import annotations

import gzip
from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from approvals.anchors import anchors_as_lines, anchors_make, trail_as_lines


class Command(BaseCommand):
    """Write the audit trail as JSON Lines; `python -m approvals.verify_trail` checks it anywhere."""

    help = "Export the audit trail and its daily anchors as JSON Lines."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where to write."""
        parser.add_argument("--out", default="-", help="FILE, FILE.gz or - (default) for the trail")
        parser.add_argument("--anchors", type=Path, help="also write the anchors to this file")

    def handle(self, *args: Any, **options: Any) -> None:
        """Export; a file appears whole or not at all."""
        anchors_make()
        if options["out"] == "-":
            for line in trail_as_lines():
                self.stdout.write(line, ending="")
        else:
            count = self._write(Path(options["out"]), trail_as_lines())
            self.stdout.write(f"{count} entries in {options['out']}")
        if options["anchors"]:
            count = self._write(options["anchors"], anchors_as_lines())
            self.stderr.write(f"{count} anchors in {options['anchors']}")

    def _write(self, path: Path, lines: Iterable[str]) -> int:
        unfinished = path.with_name(path.name + ".part")
        count = 0
        try:
            with (
                gzip.open(unfinished, "wt", encoding="utf-8")
                if path.suffix == ".gz"
                else unfinished.open("w", encoding="utf-8")
            ) as stream:
                for line in lines:
                    stream.write(line)
                    count += 1
            unfinished.replace(path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise CommandError(f"{path}: {error.strerror or error}; nothing was kept") from error
        return count
