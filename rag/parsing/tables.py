"""Tables as Markdown: one block with caption, header and rows, for every format alike."""

import re
from collections.abc import Sequence

Rows = Sequence[Sequence[str]]


def markdown_table(rows: Rows, *, header_rows: int | None = None, caption: str = "") -> str:
    """A Markdown table, its caption in the line above; '' when no cell has text.

    `header_rows` None means unknown: the first row is taken for the header where each of its
    cells has words of its own. Several header rows become one. A table of a single column becomes
    plain lines. Ragged rows are filled up.
    """
    cells = [[cell_text(cell) for cell in row] for row in rows]
    cells = [row for row in cells if any(row)]
    if not cells:
        return caption.strip()
    width = max(len(row) for row in cells)
    cells = [row + [""] * (width - len(row)) for row in cells]
    keep = [column for column in range(width) if any(row[column] for row in cells)]
    cells = [[row[column] for column in keep] for row in cells]
    if len(keep) == 1:
        return "\n".join([caption.strip()] * bool(caption.strip()) + [row[0] for row in cells])
    if header_rows is None:
        header_rows = 1 if _is_header(cells) else 0
    header_rows = min(header_rows, len(cells) - 1)
    header = [_merged([row[column] for row in cells[:header_rows]]) for column in range(len(keep))]
    lines = [_line(header), "|" + "---|" * len(keep)]
    lines += [_line(row) for row in cells[header_rows:]]
    return "\n".join([caption.strip()] * bool(caption.strip()) + lines)


def cell_text(text: str) -> str:
    """A cell's text in one line, safe between bars."""
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


def _is_header(cells: list[list[str]]) -> bool:
    first = cells[0]
    named = all(cell and not re.fullmatch(r"[\d.,%°+–-]+", cell) for cell in first)
    return len(cells) > 1 and named and len(set(first)) > 1


def _merged(parts: list[str]) -> str:
    return " ".join(part for part in dict.fromkeys(parts) if part)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
