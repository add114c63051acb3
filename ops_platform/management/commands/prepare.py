"""Bring the database to what this version needs; every step is safe to repeat."""

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from facilities.models import Site, Source
from ops_platform.accounts import account_create
from ops_platform.config import BASE_DIR
from ops_platform.embedded.secrets import write_secret
from ops_platform.embedded.supervisor import FIRST_LOGINS
from ops_platform.models import User

PLANT_SOURCE = "demo-plant"
# Enough people for every path of the gate: of a high-risk procedure that one of them asks for, two
# sign and a third confirms its holds; an emergency approval has two reviewers besides its signer.
FIRST_PEOPLE = {
    "operator": "operator",
    "operator-2": "operator",
    "supervisor": "supervisor",
    "supervisor-2": "supervisor",
    "viewer": "viewer",
    "admin": "admin",
}


class Command(BaseCommand):
    help = "Migrate; with --demo also load the demo facility, its source and first accounts."
    requires_system_checks = "__all__"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--static", action="store_true", help="collect static files")
        parser.add_argument("--demo", action="store_true", help="demo facility and first accounts")

    def handle(self, *args: Any, **options: Any) -> None:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", interactive=False, verbosity=1)
        if options["static"]:
            call_command("collectstatic", interactive=False, verbosity=0)
        if options["demo"]:
            self._demo()

    def _demo(self) -> None:
        if not Site.objects.exists():
            call_command("load_facility", str(BASE_DIR / "facilities" / "demo" / "facility.yaml"))
        token = settings.DATA_DIR / "secrets" / "plant-source-token"
        if not token.exists() or not Source.objects.filter(name=PLANT_SOURCE).exists():
            rotate = Source.objects.filter(name=PLANT_SOURCE).exists()
            arguments = ["--token-file", str(token), *(["--rotate"] if rotate else [])]
            call_command("create_source", PLANT_SOURCE, *arguments)
        if not User.objects.exists():
            logins = {}
            for name, role in FIRST_PEOPLE.items():
                logins[name] = account_create(name=name, role=role).password
            write_secret(settings.DATA_DIR, FIRST_LOGINS, json.dumps(logins))
            self.stdout.write("created the first accounts: " + ", ".join(logins))
