"""The visible text of a Word paragraph: its runs without deletions, field codes and hidden text."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rag.parsing.docx_notes import Notes, W

_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_LOOKED_THROUGH = {
    W + "hyperlink", W + "ins", W + "moveTo", W + "smartTag", W + "sdt", W + "sdtContent",
    W + "fldSimple", W + "customXml", W + "dir", W + "bdo",
}  # fmt: skip
_MAX_DEPTH = 60


@dataclass
class Reading:
    """What was met on the way: hidden texts with how they are hidden, and counted deletions.

    `notes` are told at their marks; those of a heading wait in `waiting` for its text.
    """

    hidden_styles: frozenset[str]
    notes: Notes = field(default_factory=Notes)
    hidden: list[tuple[str, str]] = field(default_factory=list)
    deleted: int = 0
    waiting: list[str] = field(default_factory=list)


def paragraph_text(
    paragraph: Any, reading: Reading, *, notes_wait: bool = False
) -> tuple[str, list[Any]]:
    """The paragraph's visible text, and the contents of its text boxes as containers.

    A note stands in brackets where it is referred to; with `notes_wait` it is kept for later.
    """
    parts: list[str] = []
    boxes: list[Any] = []
    shaded = _is_shaded(paragraph.find(W + "pPr"))
    for run in _runs(paragraph, reading, 0):
        text, notes = _text(run), _notes(run, reading)
        if notes and notes_wait and not _hidden(run, reading, shaded):
            reading.waiting += notes
        elif notes:
            text += "".join(f" [{note}]" for note in notes)
        if how := _hidden(run, reading, shaded):
            reading.hidden.append((text, how))
        else:
            parts.append(text)
            boxes += _boxes(run)
    return "".join(parts), boxes


def _runs(node: Any, reading: Reading, depth: int) -> Iterator[Any]:
    for child in node:
        if child.tag == W + "r":
            yield child
        elif child.tag in (W + "del", W + "moveFrom"):
            reading.deleted += 1
        elif child.tag in _LOOKED_THROUGH and depth < _MAX_DEPTH:
            yield from _runs(child, reading, depth + 1)


def _text(run: Any) -> str:
    words: list[str] = []
    for child in run:
        if child.tag == W + "t":
            words.append(child.text or "")
        elif child.tag in (W + "tab", W + "ptab"):
            words.append("\t")
        elif child.tag in (W + "br", W + "cr"):
            words.append("\n")
        elif child.tag == W + "noBreakHyphen":
            words.append("-")
        elif child.tag == W + "sym":
            words.append(" ")
    return "".join(words)


def _notes(run: Any, reading: Reading) -> list[str]:
    """The texts of the notes that the run refers to."""
    said = (
        reading.notes.text_at(mark, lambda line: paragraph_text(line, reading)[0]) for mark in run
    )
    return [text for text in said if text]


def _boxes(run: Any) -> list[Any]:
    """Text boxes drawn at this run; of alternatives only the first, they say the same."""
    found: list[Any] = []
    for box in run.iter(W + "txbxContent"):
        parents = list(box.iterancestors(_MC + "Fallback", W + "txbxContent"))
        if not any(parent.tag == _MC + "Fallback" for parent in parents):
            inner = [p for p in parents if p.tag == W + "txbxContent" and run in p.iterancestors()]
            if not inner:
                found.append(box)
    return found


def _hidden(run: Any, reading: Reading, shaded: bool) -> str:
    """How the run is hidden; '' when it is not."""
    properties = run.find(W + "rPr")
    if properties is None:
        return ""
    style = properties.find(W + "rStyle")
    vanish = properties.find(W + "vanish")
    if vanish is None:
        vanish = properties.find(W + "webHidden")
    if vanish is not None:
        return "hidden text" if is_on(vanish) else ""
    if style is not None and style.get(W + "val") in reading.hidden_styles:
        return "hidden by its style"
    size = properties.find(W + "sz")
    if (
        size is not None
        and (size.get(W + "val") or "").isdecimal()
        and int(size.get(W + "val")) < 4
    ):
        return "smaller than 2 points"
    colour = properties.find(W + "color")
    if colour is not None and _is_white(colour.get(W + "val") or "") and not shaded:
        lit = properties.find(W + "highlight") is not None or _is_shaded(properties)
        return "" if lit or _in_shaded_cell(run) else "white on white"
    return ""


def is_on(toggle: Any) -> bool:
    """Whether a toggle property (`<w:vanish/>`, `w:val="0"`) is on."""
    return (toggle.get(W + "val") or "true").lower() not in ("0", "false", "off", "none")


def _is_white(value: str) -> bool:
    try:
        return len(value) == 6 and all(int(value[i : i + 2], 16) >= 250 for i in (0, 2, 4))
    except ValueError:
        return False


def _is_shaded(properties: Any) -> bool:
    shading = properties.find(W + "shd") if properties is not None else None
    if shading is None:
        return False
    fill = shading.get(W + "fill") or "auto"
    has_theme = any("themeFill" in key for key in shading)
    return has_theme or not (fill.lower() == "auto" or _is_white(fill))


def _in_shaded_cell(run: Any) -> bool:
    """Whether a table around the run colours its cell, itself or by a table style."""
    for cell in run.iterancestors(W + "tc"):
        if _is_shaded(cell.find(W + "tcPr")):
            return True
        table = next(cell.iterancestors(W + "tbl"), None)
        if table is not None and table.find(f"{W}tblPr/{W}tblStyle") is not None:
            return True
    # A text box may be filled; its fill is drawn, not declared on the text.
    return next(run.iterancestors(W + "txbxContent"), None) is not None
