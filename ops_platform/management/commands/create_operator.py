"""Create a person's account, or give an existing one a new password."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from ops_platform.accounts import AccountExists, account_create, account_reset
from ops_platform.models import User
from ops_platform.roles import ROLES


class Command(BaseCommand):
    help = "Create an account with one role and print its password once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--role", required=True, choices=ROLES)
        parser.add_argument("--password-file", type=Path, help="read the password from this file")
        parser.add_argument(
            "--reset", action="store_true", help="new password for an existing user"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        given = ""
        path: Path | None = options["password_file"]
        if path is not None:
            try:
                given = path.read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise CommandError(f"--password-file {path}: {error}") from error
            if not given:
                raise CommandError(f"--password-file {path} is empty; nothing was changed")
        make = account_reset if options["reset"] else account_create
        try:
            account = make(name=options["name"], role=options["role"], password=given)
        except AccountExists as error:
            raise CommandError(str(error)) from error
        except User.DoesNotExist as error:
            raise CommandError(
                f"there is no user {options['name']}; leave out --reset to create it"
            ) from error
        except ValidationError as error:
            raise CommandError(f"password refused: {' '.join(error.messages)}") from error
        done = "reset" if options["reset"] else "created"
        self.stdout.write(f"{done} {account.user.username} with role {options['role']}")
        if not given:
            self.stdout.write(f"password (shown this once): {account.password}")
