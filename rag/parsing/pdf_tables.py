"""Ruled tables of a PDF page: rules from PDFium, cells by pdfplumber's geometry, words our own.

pdfplumber's reader is not used: it takes 0.5 s a page and would bring hidden words back.
"""

import re

from rag.parsing.pdf_lines import Line
from rag.parsing.pdf_rules import CellBox, Cells
from rag.parsing.pdf_words import Word
from rag.parsing.tables import markdown_table

_MIN_FILLED = 0.4
_CAPTION = re.compile(r"^(?:table|tabelle|tab\.)\s*\d+", re.IGNORECASE)


def tables(found: list[Cells], words: list[Word], page: int) -> tuple[list[Line], list[Word]]:
    """The page's tables as lines of Markdown, and the words outside of them.

    A grid with mostly empty cells (a figure, a page frame) is no table, nor is one of one column.
    """
    lines: list[Line] = []
    for cells in sorted(found, key=len, reverse=True):
        places = [cell for row in cells for cell in row if cell is not None]
        if not places or len(cells) < 2 or max(len(row) for row in cells) < 2:
            continue
        left, top = min(c[0] for c in places), min(c[1] for c in places)
        right, bottom = max(c[2] for c in places), max(c[3] for c in places)
        inside = [w for w in words if _is_in(w, (left, top, right, bottom))]
        rows = [[_text(cell, inside) if cell else "" for cell in row] for row in cells]
        filled = sum(bool(text) for row in rows for text in row)
        texts = [row for row in rows if any(row)]
        if len(texts) < 2 or filled < _MIN_FILLED * len(places) or filled < 4:
            continue
        placed = {id(w) for cell in places for w in inside if _is_in(w, cell)}
        if len(placed) < 0.9 * len(inside):
            continue
        rows = _without_slivers(_with_spans(rows, cells))
        text = markdown_table(rows, header_rows=_header_rows(rows))
        lines.append(Line(page, text, left, top, right, bottom, table=True))
        words = [w for w in words if id(w) not in placed]
    return lines, words


def _with_spans(rows: list[list[str]], cells: Cells) -> list[list[str]]:
    """Rows where a cell that spans rows is repeated below itself (pdfplumber gives None there)."""
    filled: list[list[str]] = []
    for index, row in enumerate(rows):
        line = list(row)
        for column, cell in enumerate(cells[index]):
            if cell is None and index > 0 and column < len(filled[-1]):
                above = _above(cells, index, column)
                if above is not None and above[3] >= _row_bottom(cells[index]) - 1:
                    line[column] = filled[-1][column]
        filled.append(line)
    return filled


def _above(cells: Cells, index: int, column: int) -> CellBox | None:
    for row in reversed(cells[:index]):
        if column < len(row) and row[column] is not None:
            return row[column]
    return None


def _row_bottom(row: list[CellBox | None]) -> float:
    return min((cell[3] for cell in row if cell is not None), default=float("inf"))


def _without_slivers(rows: list[list[str]]) -> list[list[str]]:
    """Neighbouring columns of which no row fills both are one column, drawn with two rules."""
    width = max(len(row) for row in rows)
    rows = [row + [""] * (width - len(row)) for row in rows]
    column = 0
    while column < len(rows[0]) - 1:
        if any(row[column] and row[column + 1] for row in rows):
            column += 1
            continue
        rows = [[*row[:column], row[column] or row[column + 1], *row[column + 2 :]] for row in rows]
    return rows


def _header_rows(rows: list[list[str]]) -> int:
    """One header row, unless the first row is a title over all columns: then two."""
    first = [text for text in rows[0] if text]
    if len(first) == 1 and len(rows) > 2 and sum(bool(text) for text in rows[1]) > 1:
        return 2
    return 1


def _is_in(word: Word, box: CellBox) -> bool:
    x, y = (word.left + word.right) / 2, (word.top + word.bottom) / 2
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def _text(cell: CellBox, words: list[Word]) -> str:
    """The words of a cell line by line."""
    inside = [word for word in words if _is_in(word, cell)]
    lines: list[list[Word]] = []
    for word in sorted(inside, key=lambda w: (w.top + w.bottom) / 2):
        middle = (word.top + word.bottom) / 2
        if (
            lines
            and middle < lines[-1][0].bottom
            and middle - (lines[-1][0].top + lines[-1][0].bottom) / 2 < 0.5 * max(word.size, 1)
        ):
            lines[-1].append(word)
        else:
            lines.append([word])
    return " ".join(w.text for line in lines for w in sorted(line, key=lambda w: w.left))


def with_captions(lines: list[Line]) -> list[Line]:
    """Captions ("Table 3. …") directly above or below a table become the table's first line."""
    kept: list[Line] = list(lines)
    for table in [line for line in lines if line.table]:
        for index in (kept.index(table) - 1, kept.index(table) + 1):
            if not 0 <= index < len(kept):
                continue
            near = kept[index]
            gap = max(table.top - near.bottom, near.top - table.bottom)
            if _CAPTION.match(near.text) and not near.table and gap < 3 * near.size:
                table.text = f"{near.text}\n{table.text}"
                table.top, table.bottom = min(table.top, near.top), max(table.bottom, near.bottom)
                kept.pop(index)
                break
    return kept


def continued(before: list[Line], lines: list[Line]) -> list[Line]:
    """The page's lines, where a table that goes on from one above it, or from the page before,
    gets that table's header. It goes on when it has the same sides and number of columns, and at
    most a few words (a divider, a running line) stand between."""
    last = next((line for line in reversed(before) if line.table), None)
    words = sum(len(line.text.split()) for line in before[before.index(last) + 1 :]) if last else 0
    for line in lines:
        if not line.table:
            words += len(line.text.split())
            continue
        if last is not None and words <= 24:
            line.text = _with_header(line, last)
        last, words = line, 0
    return lines


def _with_header(table: Line, last: Line) -> str:
    header, own = _head(last.text), _head(table.text)
    rows = table.text.split("\n")
    is_same_grid = (
        header
        and own
        and header[0].count("|") == own[0].count("|")
        and abs(table.left - last.left) < 4
        and abs(table.right - last.right) < 4
    )
    if not is_same_grid or _CAPTION.match(rows[0]) or rows[0] == header[0]:
        return table.text
    first = [] if set(own[0]) <= set("| ") else [own[0]]
    return "\n".join([*header, *first, *rows[2:]])


def _head(text: str) -> list[str]:
    """The header row of a Markdown table and the line below it."""
    rows = text.split("\n")
    for index, row in enumerate(rows[1:3], start=1):
        if set(row) <= set("|-") and row:
            return rows[index - 1 : index + 1]
    return []
