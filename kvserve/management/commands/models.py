"""`manage.py models`: what is in the models folder; fetch, requantise and remove."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from kvserve.errors import ModelUnavailable
from kvserve.weights.gguf_header import GgufHeader, read_header
from kvserve.weights.model_store import (
    BUNDLED_MODEL_ID,
    find_models,
    model_parts,
    prepare_bundled_model,
)

COLUMNS = "{:<40} {:<10} {:>8} {:>8} {:>9} {:>8}  {}"


class Command(BaseCommand):
    help = "List, pull, requantise and remove the models that kvserve can load."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="models in the models folder")
        pull = actions.add_parser("pull", help="download a GGUF from the Hugging Face hub")
        pull.add_argument("repository", help="such as bartowski/SmolLM2-360M-Instruct-GGUF")
        pull.add_argument("file", nargs="?", help="which GGUF, where the repository has several")
        requantise = actions.add_parser("requantise", help="write a model in another quantisation")
        requantise.add_argument("source", help="a model's name, or the path of a GGUF file")
        requantise.add_argument("type", nargs="?", default="q8_0", help="such as q8_0 or q4_0")
        remove = actions.add_parser("remove", help="delete a model's file")
        remove.add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        self.folder: Path = settings.DATA_DIR / "models"
        try:
            getattr(self, f"_{options['action']}")(options)
        except (ModelUnavailable, OSError) as error:
            raise CommandError(str(error)) from error

    def _list(self, _options: dict[str, Any]) -> None:
        found = find_models(self.folder)
        titles = ("name", "arch", "params", "type", "size", "context", "")
        self.stdout.write(COLUMNS.format(*titles))
        for name, path in found.items():
            self.stdout.write(_row(name, path))
        if BUNDLED_MODEL_ID not in found:
            self.stdout.write(f"{BUNDLED_MODEL_ID} is bundled; it is prepared at the first start")

    def _pull(self, options: dict[str, Any]) -> None:
        from kvserve.weights.pull import pull

        for path in pull(
            options["repository"], options["file"], self.folder, say=self.stdout.write
        ):
            self.stdout.write(f"pulled {path}")
        self.stdout.write(f"a request that names the model '{path.stem}' loads it")

    def _requantise(self, options: dict[str, Any]) -> None:
        from kvserve.weights.requantise import requantise

        source = self._source(options["source"])
        kind = options["type"].lower()
        target = self.folder / f"{_stem_without_type(source)}.{kind.upper()}.gguf"
        if target.exists():
            raise CommandError(f"{target} exists: remove it first, to write it again")
        self.folder.mkdir(parents=True, exist_ok=True)
        requantise(source, target, kind, on_progress=self._show_progress)
        self.stdout.write(f"wrote {target}: {target.stat().st_size >> 20} MiB")

    def _source(self, given: str) -> Path:
        if given == BUNDLED_MODEL_ID:
            return prepare_bundled_model(self.folder)
        return self._find(given) or Path(given)

    def _find(self, name: str) -> Path | None:
        return find_models(self.folder).get(name)

    def _show_progress(self, done: int, total: int) -> None:
        """A bar on a terminal, a line at the end elsewhere."""
        if self.stdout.isatty():
            bar = ("█" * (30 * done // total)).ljust(30)
            self.stdout.write(f"\r{bar} {done}/{total} tensors", ending="")
        if done == total:
            self.stdout.write(f"\r{total} tensors written".ljust(60))

    def _remove(self, options: dict[str, Any]) -> None:
        path = self._find(options["name"])
        if path is None:
            known = ", ".join(find_models(self.folder)) or "none"
            raise CommandError(f"no model '{options['name']}' in {self.folder}; there: {known}")
        for part in model_parts(path):
            part.unlink()
            self.stdout.write(f"removed {part}")


def _row(name: str, path: Path) -> str:
    from kvserve.weights.requantise import type_name

    parts = model_parts(path)
    size = f"{sum(part.stat().st_size for part in parts) >> 20} MiB"
    try:
        headers = [read_header(part) for part in parts]
    except ModelUnavailable as error:
        return COLUMNS.format(name, "?", "", "", size, "", error)
    first = headers[0]
    parameters = sum(header.num_parameters for header in headers)
    note = "bundled, default" if name == BUNDLED_MODEL_ID else ""
    return COLUMNS.format(
        name,
        first.architecture,
        _rounded(parameters),
        type_name(first),
        size,
        _context(first),
        note,
    )


def _context(header: GgufHeader) -> str:
    return str(header.metadata.get(f"{header.architecture}.context_length", "?"))


def _rounded(parameters: int) -> str:
    if parameters >= 1_000_000_000:
        return f"{parameters / 1e9:.1f} B"
    return f"{parameters / 1e6:.0f} M"


def _stem_without_type(path: Path) -> str:
    from kvserve.weights.requantise import types

    stem, _, last = path.stem.rpartition(".")
    return stem if stem and last.lower() in types() else path.stem
