"""Words to lines in reading order: rows, columns, and what repeats on every page taken away."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from statistics import median

from rag.parsing.pdf_words import Word

_CONTENTS_LINE = re.compile(r"(?:\.\s?){4,}\s*(?:\d{1,4}|[ivxl]+)\s*$|\s(?:\.\s){3,}\.?\s*\d{1,4}$")
_PAGE_NUMBER = re.compile(
    r"^(?:page|seite|p\.)?\s*[-–]?\s*(\d{1,4})\s*[-–]?(?:\s*(?:of|von|/)\s*\d+)?$", re.I
)
_EDGE_LINES = 3
_MIN_REPEATS = 4


@dataclass(slots=True)
class Line:
    """A line of text (or a whole table) on a page, in points from its upper left corner."""

    page: int
    text: str
    left: float
    top: float
    right: float
    bottom: float
    size: float = 10.0
    bold: bool = False
    column: int = 0
    table: bool = False
    words: list[Word] = field(default_factory=list)

    @property
    def height(self) -> float:
        return self.bottom - self.top


def page_lines(words: list[Word], page: int, width: float, tables: list[Line]) -> list[Line]:
    """The visible words of a page as lines in reading order, tables at their place."""
    seen = [word for word in words if not word.hidden or word.hidden == "scan"]
    segments = _segments([word for word in seen if word.upright], page) + tables
    turned = _turned([word for word in seen if not word.upright], page)
    gutter = _gutter(segments, width)
    lines: list[Line] = []
    for column, band in _bands(segments, gutter):
        for row in _rows(band):
            row.column = column
            lines.append(row)
    return _without_contents(lines + turned)


def _without_contents(lines: list[Line]) -> list[Line]:
    """Lines without those of a table of contents; on a page that is mostly such a table, without
    the first halves of its two-line entries, too."""
    kept = [line for line in lines if not _CONTENTS_LINE.search(line.text)]
    if len(lines) - len(kept) >= max(5, 0.4 * len(lines)):
        return [line for line in kept if line.size > 14]
    return kept


def _line(words: list[Word], page: int) -> Line:
    letters = sum(len(word.text) for word in words)
    sizes: Counter[float] = Counter()
    for word in words:
        sizes[word.size] += len(word.text)
    bold = sum(len(word.text) for word in words if word.bold)
    return Line(
        page,
        " ".join(word.text for word in words),
        min(word.left for word in words),
        min(word.top for word in words),
        max(word.right for word in words),
        max(word.bottom for word in words),
        sizes.most_common(1)[0][0],
        bold >= 0.85 * letters,
        words=words,
    )


def _segments(words: list[Word], page: int) -> list[Line]:
    """Words that follow one another on a line without a wide gap, in the content's order."""
    groups: list[list[Word]] = []
    for word in words:
        last = groups[-1][-1] if groups else None
        if last is not None:
            shared = min(last.bottom, word.bottom) - max(last.top, word.top)
            low = min(last.bottom - last.top, word.bottom - word.top)
            size = max(last.size, word.size)
            near = abs((last.bottom + last.top) - (word.bottom + word.top)) / 2 < 0.6 * size
            gap = word.left - last.right
            if (shared >= 0.5 * low or near) and -0.5 * size <= gap <= 1.6 * size:
                groups[-1].append(word)
                continue
        groups.append([word])
    return [_line(group, page) for group in groups]


def _turned(words: list[Word], page: int) -> list[Line]:
    """Text that does not run from left to right, in its own order, as one line a run."""
    lines: list[Line] = []
    run: list[Word] = []
    for word in words:
        if run and (abs(word.left - run[-1].left) > 40 and abs(word.top - run[-1].top) > 40):
            lines.append(_line(run, page))
            run = []
        run.append(word)
    if run:
        lines.append(_line(run, page))
    return lines


def _gutter(segments: list[Line], width: float) -> float | None:
    """Where two columns of running text part; None for one column.

    Both sides hold at least six lines of which half fill most of their column; hardly any line
    crosses. A label beside its value is no column: its labels are short.
    """
    prose = [segment for segment in segments if not segment.table and len(segment.text) > 2]
    if len(prose) < 14:
        return None
    left, right = min(s.left for s in prose), max(s.right for s in prose)
    span = right - left
    best: tuple[int, float] | None = None
    for step in range(30, 71):
        x = left + span * step / 100
        crossing = sum(s.left < x - 2 and s.right > x + 2 for s in prose)
        if best is None or crossing < best[0]:
            best = (crossing, x)
    if best is None or best[0] > 0.2 * len(prose) or span < 0.4 * width:
        return None
    x = best[1]
    sides = ([s for s in prose if s.right <= x + 2], [s for s in prose if s.left >= x - 2])
    for side in sides:
        if len(side) < 6:
            return None
        column = max(s.right for s in side) - min(s.left for s in side)
        if median(s.right - s.left for s in side) < 0.6 * column or column < 0.25 * span:
            return None
    return x


def _bands(segments: list[Line], gutter: float | None) -> list[tuple[int, list[Line]]]:
    """Groups of segments in reading order: between two that cross the gutter, left then right."""
    ordered = sorted(segments, key=lambda s: (s.top, s.left))
    if gutter is None:
        return [(0, ordered)]
    bands: list[tuple[int, list[Line]]] = []
    sides: dict[int, list[Line]] = defaultdict(list)

    def end() -> None:
        bands.extend((side, sides[side]) for side in (1, 2) if sides[side])
        sides.clear()

    for segment in ordered:
        if segment.left < gutter - 2 and segment.right > gutter + 2:
            end()
            bands.append((0, [segment]))
        else:
            sides[1 if segment.right <= gutter + 2 else 2].append(segment)
    end()
    return bands


def _rows(segments: list[Line]) -> list[Line]:
    """Segments beside one another as one line, from top to bottom."""
    rows: list[list[Line]] = []
    for segment in sorted(segments, key=lambda s: ((s.top + s.bottom) / 2, s.left)):
        for row in reversed(rows[-3:]):
            shared = min(row[0].bottom, segment.bottom) - max(row[0].top, segment.top)
            low = min(row[0].height, segment.height)
            if not (row[0].table or segment.table) and shared >= 0.5 * low:
                row.append(segment)
                break
        else:
            rows.append([segment])
    lines: list[Line] = []
    for row in rows:
        row.sort(key=lambda s: s.left)
        lines.append(
            row[0] if len(row) == 1 else _line([w for s in row for w in s.words], row[0].page)
        )
    return lines


def without_running_lines(pages: list[list[Line]], heights: list[float]) -> list[list[Line]]:
    """Drop headers, footers and page numbers.

    A line at a page's edge runs through the document when it repeats on a third of the pages, at
    least four, with the same words; numbers in it may count up with the pages.
    """
    counts: Counter[str] = Counter()
    for lines in pages:
        counts.update({_key(line) for line in _edge(lines)})
    floor = max(_MIN_REPEATS, len(pages) // 3)
    running = {key for key, count in counts.items() if count >= floor}
    kept: list[list[Line]] = []
    for lines, height in zip(pages, heights, strict=True):
        edge = {id(line) for line in _edge(lines)}
        kept.append(
            [
                line
                for line in lines
                if not (
                    id(line) in edge
                    and (_key(line) in running or _is_page_number(line, height, len(pages)))
                )
            ]
        )
    return kept


def _edge(lines: list[Line]) -> list[Line]:
    """The three lines at the top and at the bottom of a page."""
    ordered = sorted((line for line in lines if not line.table), key=lambda line: line.top)
    return ordered[:_EDGE_LINES] + ordered[_EDGE_LINES:][-_EDGE_LINES:]


def _key(line: Line) -> str:
    """The line without its numbers; a numbered heading keeps its number."""
    text = line.text.strip()
    if re.match(r"\d+\.\d", text):
        return text
    return re.sub(r"\d+|(?<=\s)[ivxlc]+$", "#", text)


def _is_page_number(line: Line, height: float, pages: int) -> bool:
    at_edge = line.bottom > 0.9 * height or line.top < 0.08 * height
    return bool(at_edge and pages > 1 and _PAGE_NUMBER.match(line.text.strip()))
