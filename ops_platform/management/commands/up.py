"""Start the whole stack and keep it up: what `make run` ends in."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ops_platform.embedded.leftovers import AlreadyRunning, PortTaken
from ops_platform.embedded.supervisor import StartFailed, up


class Command(BaseCommand):
    help = (
        "Start PostgreSQL, Redis, kvserve, web, workers, beat and the demo plant; each of the "
        "first three only where OPS_DATABASE_URL, OPS_REDIS_URL, OPS_LLM_URL do not point elsewhere."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, help="port of the web process (default 8000)")
        parser.add_argument("--host", default="127.0.0.1", help="address the web process binds")
        parser.add_argument("--no-plant", action="store_true", help="do not start the demo plant")
        parser.add_argument("--quiet", action="store_true", help="children's output to files only")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            up(
                port=options["port"],
                host=options["host"],
                with_plant=not options["no_plant"],
                quiet=options["quiet"],
            )
        except (AlreadyRunning, PortTaken, StartFailed) as error:
            raise CommandError(str(error)) from error
