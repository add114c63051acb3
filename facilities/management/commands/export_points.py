"""``manage.py export_points``: the data list as CSV or YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from facilities.datalist import export_csv, export_yaml
from facilities.models import Point


class Command(BaseCommand):
    """Write every point with all its columns."""

    help = "Write the data list as CSV or YAML, to a file or to standard output."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the format and where it goes."""
        parser.add_argument("--format", choices=["csv", "yaml"], default="csv")
        parser.add_argument("--output", type=Path)

    def handle(self, *args: Any, format: str, output: Path | None, **options: Any) -> None:
        """Export."""
        points = Point.objects.select_related("asset", "source").order_by("tag")
        text = export_csv(points) if format == "csv" else export_yaml(points)
        if output is None:
            self.stdout.write(text, ending="")
        else:
            output.write_text(text, encoding="utf-8")
