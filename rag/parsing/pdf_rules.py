"""The ruling lines of a PDF page, and the grids of cells that they make.

Rules are thin filled boxes (Word) or stroked paths (everything else). Open sides are closed: Word
draws no rule at the top of a table that goes on from the page before, and many tables have no
outer frame.
"""

import ctypes
from collections.abc import Iterable
from typing import Any, NamedTuple

import pypdfium2.raw as pdfium_c

from rag.parsing.pdf_words import Place

CellBox = tuple[float, float, float, float]
Cells = list[list[CellBox | None]]

_THIN_PT = 3.0
_SNAP_PT = 3.0
_MAX_OBJECTS = 20_000
_MAX_SEGMENTS = 2_000
# A page with more rules than this is a drawing, not a table.
_MAX_RULES = 1_500


class Rule(NamedTuple):
    """A horizontal or vertical line in points from the page's upper left corner."""

    x0: float
    top: float
    x1: float
    bottom: float

    @property
    def across(self) -> bool:
        """Whether it is horizontal."""
        return self.top == self.bottom


def grids(page: Any) -> list[Cells]:
    """The grids of at least four cells on a page, as rows of (left, top, right, bottom); None
    where a cell of another row or column reaches in."""
    drawn, filled = _rules(page)
    found = _grids(drawn)
    return found or _grids(filled)


def _rules(page: Any) -> tuple[list[Rule], list[Rule]]:
    """Drawn rules, and the edges of filled areas (tables by colour alone)."""
    place = Place(page)
    drawn: list[Rule] = []
    filled: list[Rule] = []
    for count, item in enumerate(
        page.get_objects(filter=[pdfium_c.FPDF_PAGEOBJ_PATH], max_depth=3)
    ):
        if count > _MAX_OBJECTS or len(drawn) > 4 * _MAX_RULES:
            break
        mode, stroke = ctypes.c_int(), ctypes.c_int()
        pdfium_c.FPDFPath_GetDrawMode(item.raw, mode, stroke)
        if stroke.value:
            drawn += _stroked(item, place)
        elif mode.value:
            box = place.shown(*_outer(item, *item.get_bounds()))
            width, height = box[2] - box[0], box[3] - box[1]
            if height <= _THIN_PT and width > 2 * _THIN_PT:
                drawn.append(_across(box[0], box[2], (box[1] + box[3]) / 2))
            elif width <= _THIN_PT and height > 2 * _THIN_PT:
                drawn.append(_down((box[0] + box[2]) / 2, box[1], box[3]))
            elif width > 12 and height > 6:
                filled += _frame(*box)
    return drawn, filled


def _across(x0: float, x1: float, y: float) -> Rule:
    return Rule(x0, y, x1, y)


def _down(x: float, top: float, bottom: float) -> Rule:
    return Rule(x, top, x, bottom)


def _frame(left: float, top: float, right: float, bottom: float) -> list[Rule]:
    return [
        _across(left, right, top), _across(left, right, bottom),
        _down(left, top, bottom), _down(right, top, bottom),
    ]  # fmt: skip


def _outer(item: Any, left: float, bottom: float, right: float, top: float) -> CellBox:
    """Bounds within a form as bounds on the page."""
    corners = [_moved(item, x, y) for x in (left, right) for y in (bottom, top)]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return min(xs), min(ys), max(xs), max(ys)


def _moved(item: Any, x: float, y: float) -> tuple[float, float]:
    form = item.container
    while form is not None:
        x, y = form.get_matrix().on_point(x, y)
        form = form.container
    return x, y


def _stroked(item: Any, place: Place) -> list[Rule]:
    """The horizontal and vertical pieces of a stroked path."""
    matrix = item.get_matrix()
    rules: list[Rule] = []
    x, y = ctypes.c_float(), ctypes.c_float()
    start: tuple[float, float] | None = None
    last: tuple[float, float] | None = None
    for index in range(min(pdfium_c.FPDFPath_CountSegments(item.raw), _MAX_SEGMENTS)):
        segment = pdfium_c.FPDFPath_GetPathSegment(item.raw, index)
        pdfium_c.FPDFPathSegment_GetPoint(segment, x, y)
        here = _moved(item, *matrix.on_point(x.value, y.value))
        kind = pdfium_c.FPDFPathSegment_GetType(segment)
        if kind == pdfium_c.FPDF_SEGMENT_MOVETO:
            start = here
        elif kind == pdfium_c.FPDF_SEGMENT_LINETO and last is not None:
            rules += _piece(last, here, place)
        if pdfium_c.FPDFPathSegment_GetClose(segment) and start is not None:
            rules += _piece(here, start, place)
        last = here
    return rules


def _piece(a: tuple[float, float], b: tuple[float, float], place: Place) -> list[Rule]:
    x0, x1, y0, y1 = min(a[0], b[0]), max(a[0], b[0]), min(a[1], b[1]), max(a[1], b[1])
    left, top, right, bottom = place.shown(x0, y0, x1, y1)
    if bottom - top <= 1 and right - left > 4:
        return [_across(left, right, (top + bottom) / 2)]
    if right - left <= 1 and bottom - top > 4:
        return [_down((left + right) / 2, top, bottom)]
    return []


def _grids(rules: list[Rule]) -> list[Cells]:
    if not (3 <= len(rules) <= _MAX_RULES) or not any(rule.across for rule in rules):
        return []
    from pdfplumber.table import (
        cells_to_tables,
        edges_to_intersections,
        intersections_to_cells,
        merge_edges,
    )

    merged = [
        Rule(edge["x0"], edge["top"], edge["x1"], edge["bottom"])
        for edge in merge_edges([_edge(rule) for rule in rules], *[_SNAP_PT] * 4)
    ]
    closed = [rule for group in _touching(merged) for rule in group + _open_sides(group)]
    edges = merge_edges([_edge(rule) for rule in closed], *[_SNAP_PT] * 4)
    cells = intersections_to_cells(edges_to_intersections(edges, _SNAP_PT, _SNAP_PT))
    return [_rows(table) for table in cells_to_tables(cells) if len(table) >= 4]


def _edge(rule: Rule) -> dict[str, Any]:
    return {
        "x0": rule.x0, "x1": rule.x1, "top": rule.top, "bottom": rule.bottom,
        "width": rule.x1 - rule.x0, "height": rule.bottom - rule.top,
        "orientation": "h" if rule.across else "v",
    }  # fmt: skip


def _touching(rules: list[Rule]) -> list[list[Rule]]:
    """Rules in groups that touch one another."""
    groups: list[list[Rule]] = []
    for rule in sorted(rules, key=lambda r: r.top):
        touched = [group for group in groups if any(_touch(rule, other) for other in group)]
        joined = [rule, *(other for group in touched for other in group)]
        groups = [group for group in groups if all(group is not t for t in touched)]
        groups.append(joined)
    return groups


def _touch(a: Rule, b: Rule) -> bool:
    return (
        a.x0 <= b.x1 + _SNAP_PT
        and b.x0 <= a.x1 + _SNAP_PT
        and a.top <= b.bottom + _SNAP_PT
        and b.top <= a.bottom + _SNAP_PT
    )


def _open_sides(group: list[Rule]) -> list[Rule]:
    """Rules at the sides of a group where others end together and none is drawn."""
    across = [rule for rule in group if rule.across]
    down = [rule for rule in group if not rule.across]
    if not down or len(across) < 2:
        return []
    left, right = min(r.x0 for r in across), max(r.x1 for r in across)
    top = min(min(r.top for r in down), min(r.top for r in across))
    bottom = max(max(r.bottom for r in down), max(r.top for r in across))
    added: list[Rule] = []
    for x, ends in ((left, [r.x0 for r in across]), (right, [r.x1 for r in across])):
        together = sum(abs(end - x) <= _SNAP_PT for end in ends) >= 2
        if together and not any(abs(r.x0 - x) <= _SNAP_PT for r in down):
            added.append(_down(x, top, bottom))
    for y, ends in ((top, [r.top for r in down]), (bottom, [r.bottom for r in down])):
        together = sum(abs(end - y) <= _SNAP_PT for end in ends) >= min(2, len(down))
        if together and not any(abs(r.top - y) <= _SNAP_PT for r in across):
            added.append(_across(left, right, y))
    return added


def _rows(cells: Iterable[CellBox]) -> Cells:
    """Cells of one table by rows; every row has a place for each left edge of the table."""
    boxes = sorted(cells, key=lambda c: (c[1], c[0]))
    lefts = sorted({box[0] for box in boxes})
    rows: dict[float, dict[float, CellBox]] = {}
    for box in boxes:
        rows.setdefault(box[1], {})[box[0]] = box
    return [[row.get(left) for left in lefts] for row in rows.values()]
