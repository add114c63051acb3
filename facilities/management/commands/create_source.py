"""``manage.py create_source NAME``: let somebody push readings."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from facilities.converters.document import DocumentError
from facilities.services.converters import converter_save
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
        parser.add_argument(
            "--auto-register",
            action="store_true",
            help="unknown series of this source become unverified points",
        )
        parser.add_argument(
            "--network",
            action="append",
            metavar="CIDR",
            help="it may push from here only (repeatable), for example 10.20.0.0/16",
        )
        parser.add_argument("--max-readings-per-s", type=int, metavar="N")
        parser.add_argument(
            "--heartbeat", type=float, metavar="S", help="alarm after S seconds of silence"
        )
        parser.add_argument(
            "--expires", metavar="TIME", help="the token ends then, for example 2027-01-01T00:00Z"
        )
        parser.add_argument(
            "--map",
            action="append",
            metavar="NAME",
            help="ready map to use (repeatable), for example dcgm_exporter",
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
            with transaction.atomic():
                source, token = source_create(name=name, rotate=rotate, **_settings(options))
                if options["map"]:
                    converter_save(source=source, document=f"use: [{', '.join(options['map'])}]\n")
        except DocumentError as error:
            raise CommandError(f"source {name}: {error}") from error
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


def _settings(options: dict[str, Any]) -> dict[str, Any]:
    """Fields of the source that the options name; the others stay as they are."""
    found: dict[str, Any] = {}
    if options["auto_register"]:
        found["auto_register"] = True
    if options["network"] is not None:
        found["allowed_networks"] = options["network"]
    if options["max_readings_per_s"] is not None:
        found["max_readings_per_s"] = options["max_readings_per_s"]
    if options["heartbeat"] is not None:
        found["heartbeat_timeout_s"] = options["heartbeat"]
    if options["expires"] is not None:
        try:
            expires = datetime.fromisoformat(options["expires"])
        except ValueError as error:
            raise CommandError(f"--expires {options['expires']}: {error}") from error
        if expires.tzinfo is None:
            raise CommandError(f"--expires {options['expires']} has no time zone; add Z or +01:00")
        found["expires_at"] = expires
    return found


def _write_private(path: Path, token: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token + "\n")
    draft.replace(path)
