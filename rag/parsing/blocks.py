"""What a parser hands over: a document as a flat list of blocks in reading order."""

from dataclasses import dataclass, field
from typing import Any, Literal

BlockKind = Literal["heading", "paragraph", "item", "table", "code"]

MAX_DOCUMENT_BYTES = 25 * 1024 * 1024
MAX_PAGES = 1000


class ParseError(Exception):
    """One file cannot be read; the message names the file, the cause and what to do."""


@dataclass(frozen=True)
class Block:
    """One structural piece of a document.

    `text` is Markdown for Markdown sources and plain text otherwise; a heading's text carries no
    markup. `level` is 1…6 for headings and 0 elsewhere; `page` counts from 1, None where the
    format has no pages.
    """

    kind: BlockKind
    text: str
    level: int = 0
    page: int | None = None


@dataclass(frozen=True)
class ParsedDocument:
    """A parsed file: its title, the front matter or metadata, and its blocks in order."""

    title: str
    blocks: list[Block]
    meta: dict[str, Any] = field(default_factory=dict)
    markup: Literal["markdown", "text"] = "text"
