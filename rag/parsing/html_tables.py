"""HTML tables as Markdown, with spans resolved and the header found."""

from typing import Any

from rag.parsing.html_hidden import Visibility
from rag.parsing.tables import markdown_table

_MAX_SPAN = 50
_MAX_CELLS = 200_000
_STRUCTURE = "boolean(.//table | .//h1 | .//h2 | .//h3 | .//h4 | .//pre | .//ol/li[3])"


def table_text(table: Any, visibility: Visibility) -> str:
    """The table as Markdown; '' for a table that only lays out the page (its parts are then read
    as ordinary text) and for one without words."""
    if table.get("role") in ("presentation", "none") or table.xpath(_STRUCTURE):
        return ""
    rows, header_rows = _grid(table, visibility)
    if not rows or (max(len(row) for row in rows) < 2):
        return ""
    caption = table.find("caption")
    words = visibility.text(caption) if caption is not None else ""
    return markdown_table(rows, header_rows=header_rows or None, caption=words)


def _grid(table: Any, visibility: Visibility) -> tuple[list[list[str]], int]:
    """Rows of cells and how many of them are header rows.

    A cell that spans rows is repeated in each, so that a row read alone is whole; one that spans
    columns is repeated in header rows only.
    """
    grid: list[list[str]] = []
    header_rows, still_header, cells_made = 0, True, 0
    pending: dict[int, tuple[int, str]] = {}
    for row in table.iter("tr"):
        if visibility.hides_within(row, table):
            continue
        cells = [cell for cell in row if cell.tag in ("td", "th") and not visibility.hides(cell)]
        is_header = bool(cells) and (
            row.getparent().tag == "thead" or all(cell.tag == "th" for cell in cells)
        )
        still_header = still_header and is_header
        header_rows += still_header
        line: list[str] = []

        carried = dict(pending)
        pending = {}
        for cell in cells:
            while len(line) in carried:
                _carry(line, carried, pending)
            text = visibility.text(cell)
            across, down = _span(cell, "colspan"), _span(cell, "rowspan")
            for index in range(across):
                shown = text if index == 0 or is_header else ""
                if down > 1:
                    pending[len(line)] = (down - 1, shown)
                line.append(shown)
        while len(line) in carried:
            _carry(line, carried, pending)
        cells_made += len(line)
        if cells_made > _MAX_CELLS:
            break
        if any(line):
            grid.append(line)
    return grid, header_rows


def _carry(
    line: list[str], carried: dict[int, tuple[int, str]], pending: dict[int, tuple[int, str]]
) -> None:
    """Put the cell that reaches down from the row above at the next place of this row."""
    left, text = carried.pop(len(line))
    if left > 1:
        pending[len(line)] = (left - 1, text)
    line.append(text)


def _span(cell: Any, name: str) -> int:
    value = str(cell.get(name, "1")).strip()
    return min(int(value), _MAX_SPAN) if value.isdecimal() and int(value[:6]) >= 1 else 1
