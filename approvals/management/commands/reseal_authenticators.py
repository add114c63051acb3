"""Seal the keys of all authenticators anew after the installation's secret has changed."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from approvals.signing.reseal import authenticators_reseal
from approvals.signing.sealing import SealError


class Command(BaseCommand):
    help = (
        "After OPS_SECRET_KEY was changed: read every authenticator's key with the old secret and "
        "seal it with the new one. Recovery codes end (they are hashes keyed with the old secret)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--old-secret-file", type=Path, required=True, help="file with the secret of before"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["old_secret_file"]
        try:
            old = path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"--old-secret-file {path}: {error}") from error
        if not old:
            raise CommandError(f"--old-secret-file {path} is empty; nothing was changed")
        try:
            done = authenticators_reseal(old_secret=old)
        except SealError as error:
            raise CommandError(f"nothing was changed: {error.detail}") from error
        self.stdout.write(
            f"sealed {done.resealed} authenticator(s) anew, {done.already} were already; "
            f"ended the recovery codes of {done.recovery_ended} account(s)"
        )
