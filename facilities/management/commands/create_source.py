"""``manage.py create_source NAME``: let somebody push readings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from facilities.services.sources import SourceExists, source_create


class Command(BaseCommand):
    """Create a source and show its token once."""

    help = "Create a source of readings; its token is shown (or written to a file) only now."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the name and where the token goes."""
        parser.add_argument("name")
        parser.add_argument("--token-file", type=Path, help="write the token here (mode 0600)")
        parser.add_argument(
            "--rotate", action="store_true", help="give an existing source a new token"
        )

    def handle(
        self,
        *args: Any,
        name: str,
        token_file: Path | None,
        rotate: bool,
        verbosity: int,
        **options: Any,
    ) -> None:
        """Create or rotate."""
        try:
            source, token = source_create(name=name, rotate=rotate)
        except SourceExists as error:
            raise CommandError(
                f"source {name} exists; add --rotate to replace its token"
            ) from error
        except ValidationError as error:
            raise CommandError(f"source {name}: {'; '.join(error.messages)}") from error
        if token_file is None:
            self.stdout.write(token)
            self.stderr.write("Keep this token: only its hash is stored, it is not shown again.")
            return
        try:
            _write_private(token_file, token)
        except OSError as error:
            raise CommandError(
                f"source {name} has a new token, but {token_file} cannot be written ({error}); "
                "correct the path and run again with --rotate"
            ) from error
        if verbosity:
            self.stdout.write(f"source {source.name}: token written to {token_file}")


def _write_private(path: Path, token: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token + "\n")
    draft.replace(path)
