"""Ready maps: what Telegraf, dcgm-exporter and Alertmanager send, one YAML file each."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from facilities.converters.document import Document, DocumentError, read_document
from facilities.converters.rules import Rule

FOLDER = Path(__file__).parent / "maps"


class ReadyMap(NamedTuple):
    """A map as the pages offer it."""

    name: str
    description: str
    text: str
    rules: int


@lru_cache(maxsize=1)
def ready_maps() -> dict[str, ReadyMap]:
    """Every map by name. Read once per process."""
    maps = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        text = path.read_text()
        description = text.splitlines()[0].removeprefix("#").strip()
        rules = len(_document(path.stem).rules)
        maps[path.stem] = ReadyMap(path.stem, description, text, rules)
    return maps


@lru_cache(maxsize=64)
def _document(name: str) -> Document:
    return read_document((FOLDER / f"{name}.yaml").read_text(), origin=name)


def rules_of(document: Document) -> tuple[Rule, ...]:
    """A document's rules and those of its maps, in the order they are tried.

    Raises ``DocumentError`` for a map that does not exist.
    """
    known = {path.stem for path in FOLDER.glob("*.yaml")}
    unknown = [name for name in document.use if name not in known]
    if unknown:
        raise DocumentError(
            [
                f"use: there is no map {name!r}; there are {', '.join(sorted(known))}"
                for name in unknown
            ]
        )
    rules = list(document.rules)
    for name in document.use:
        rules += _document(name).rules
    return tuple(rules)
