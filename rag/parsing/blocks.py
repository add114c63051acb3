"""What a parser hands over: a document as a flat list of blocks in reading order."""

from dataclasses import dataclass, field
from typing import Any, Literal

BlockKind = Literal["heading", "paragraph", "item", "table", "code"]

# Page (from 1), then left, top, right, bottom in points from the page's upper left corner.
Box = tuple[int, float, float, float, float]

MAX_DOCUMENT_BYTES = 25 * 1024 * 1024
MAX_PAGES = 1000


class ParseError(Exception):
    """One file cannot be read; the message names the file, the cause and what to do."""


@dataclass(frozen=True)
class Block:
    """One structural piece of a document.

    `text` is Markdown for Markdown sources and plain text otherwise; a heading's text carries no
    markup. `level` is 1…6 for headings and 0 elsewhere; `page` counts from 1, None where the
    format has no pages. `boxes` are the places on the rendered pages; `flags` are codes of
    `rag.parsing.scan` that concern this block. `step` is the number of the procedure's step that
    begins with this block (`rag.parsing.steps`).
    """

    kind: BlockKind
    text: str
    level: int = 0
    page: int | None = None
    boxes: tuple[Box, ...] = ()
    flags: tuple[str, ...] = ()
    step: int | None = None


@dataclass(frozen=True)
class ParsedDocument:
    """A parsed file: its title, the front matter or metadata, and its blocks in order.

    `pages` is the number of pages, None where the format has none. `flags` is what the person who
    approves the document should look at: `{"code", "detail", "page"?}` (`rag.parsing.scan`).
    """

    title: str
    blocks: list[Block]
    meta: dict[str, Any] = field(default_factory=dict)
    markup: Literal["markdown", "text"] = "text"
    pages: int | None = None
    flags: list[dict[str, Any]] = field(default_factory=list)
