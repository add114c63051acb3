"""`manage.py kvserve`: the LLM and embedding server as its own process."""

import argparse
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from kvserve.options import add_arguments


class Command(BaseCommand):
    help = "Serve the LLM and the embedder over OpenAI-compatible HTTP."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        from kvserve.server_main import serve

        namespace = argparse.Namespace(**options)
        code = serve(namespace, models_dir=settings.DATA_DIR / "models")
        if code:
            sys.exit(code)
