"""The words of a PDF page with place, size, weight, and whether a reader can see them.

From PDFium's text page, character by character (about 15 ms a page). Whether a word is visible is
decided by what the page looks like: it is rendered once at 72 dpi, and a word whose place is of one
colour is hidden, whatever hides it (colour, a picture above it, a switched-off layer, a clip).
"""

import ctypes
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import pypdfium2.raw as pdfium_c

# Pixels of a word's place differ by at least this much (of 255) when something is drawn there.
_MIN_CONTRAST = 9
_LIGHT = 245
_MIN_SIZE_PT = 2.0
_MAX_PIXELS = 2_000_000
_HYPHENS = {0x02, 0xAD, 0xFFFE}
_INVISIBLE_MODES = {3, 7}


@dataclass(slots=True)
class Word:
    """A word in points from the upper left corner of the page as it is shown."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    size: float
    bold: bool
    upright: bool
    hidden: str = ""


class _Style(NamedTuple):
    size: float
    bold: bool
    upright: bool
    mode: int
    luma: float
    alpha: int


class Clock:
    """How long rendering may take for a whole file; without it only attributes are looked at."""

    def __init__(self, seconds: float = 40.0) -> None:
        self.left = seconds

    def __bool__(self) -> bool:
        return self.left > 0


def page_words(page: Any, clock: Clock) -> list[Word]:
    """The words of a pypdfium2 page in the order of its content."""
    textpage = page.get_textpage()
    try:
        words, styles = _read(page, textpage.raw)
    finally:
        textpage.close()
    _mark_hidden(page, words, styles, clock)
    return words


def _is_scan(page: Any) -> bool:
    """Whether a picture covers the page: invisible text over it comes from OCR."""
    width, height = page.get_size()
    for item in page.get_objects(filter=[pdfium_c.FPDF_PAGEOBJ_IMAGE], max_depth=3):
        left, bottom, right, top = item.get_bounds()
        if (right - left) * (top - bottom) >= 0.6 * width * height:
            return True
    return False


def _read(page: Any, text: Any) -> tuple[list[Word], list[_Style]]:
    count = pdfium_c.FPDFText_CountChars(text)
    words: list[Word] = []
    styles: list[_Style] = []
    known: dict[int, _Style] = {}
    place = Place(page)
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    chars: list[str] = []
    box = [0.0, 0.0, 0.0, 0.0]
    style: _Style | None = None

    def end() -> None:
        nonlocal chars, style
        if chars and style is not None:
            corners = place.shown(box[0], box[1], box[2], box[3])
            words.append(Word("".join(chars), *corners, style.size, style.bold, style.upright))
            styles.append(style)
        chars, style = [], None

    for index in range(count):
        code = pdfium_c.FPDFText_GetUnicode(text, index)
        if code in (0x20, 0x0D, 0x0A, 0x09, 0xA0) or code == 0:
            end()
            continue
        if not pdfium_c.FPDFText_GetCharBox(text, index, left, right, bottom, top):
            continue
        item = pdfium_c.FPDFText_GetTextObject(text, index)
        key = ctypes.c_void_p.from_buffer(item).value or 0
        own = known.get(key)
        if own is None:
            own = known[key] = _style(text, index, place)
        if style is not None and own is not style and _differs(own, style):
            end()
        elif (
            style is not None
            and own.upright
            and (
                (top.value < box[1] or bottom.value > box[3])
                if place.rotation % 2 == 0
                else (right.value < box[0] or left.value > box[2])
            )
        ):
            # PDFium drops the line break behind a hyphen; the next line begins a word of its own.
            end()
        if not chars:
            style = own
            box = [left.value, bottom.value, right.value, top.value]
        else:
            box[0] = left.value if left.value < box[0] else box[0]
            box[1] = bottom.value if bottom.value < box[1] else box[1]
            box[2] = right.value if right.value > box[2] else box[2]
            box[3] = top.value if top.value > box[3] else box[3]
        if code in _HYPHENS:
            chars.append("-")
        elif 0xD800 <= code <= 0xDFFF or code > 0x10FFFF:
            chars.append("\N{REPLACEMENT CHARACTER}")
        elif code >= 0x20 and code != 0x7F:
            chars.append(chr(code))
    end()
    return words, styles


def _differs(a: _Style, b: _Style) -> bool:
    """Whether characters of one word must be judged apart: one may be hidden, the other not."""
    return a.mode != b.mode or abs(a.luma - b.luma) > 40 or abs(a.size - b.size) > 0.6 * b.size


class Place:
    """From page space to points from the upper left corner of the page as shown."""

    def __init__(self, page: Any) -> None:
        self.width, self.height = page.get_size()
        self.rotation = page.get_rotation() // 90 % 4
        self.box = page.get_cropbox()

    def shown(
        self, x0: float, y0: float, x1: float, y1: float
    ) -> tuple[float, float, float, float]:
        """left, top, right, bottom of a rectangle."""
        left, bottom, right, top = self.box
        if self.rotation == 1:
            corners = (y0 - bottom, x0 - left, y1 - bottom, x1 - left)
        elif self.rotation == 2:
            corners = (right - x1, y0 - bottom, right - x0, y1 - bottom)
        elif self.rotation == 3:
            corners = (top - y1, right - x1, top - y0, right - x0)
        else:
            corners = (x0 - left, top - y1, x1 - left, top - y0)
        return corners

    def is_upright(self, a: float, b: float) -> bool:
        """Whether text along (a, b) in page space runs from left to right as shown."""
        for _ in range(self.rotation):
            a, b = b, -a
        return a > 0 and abs(b) < 0.3 * a


def _style(text: Any, index: int, place: Place) -> _Style:
    matrix = pdfium_c.FS_MATRIX()
    pdfium_c.FPDFText_GetMatrix(text, index, matrix)
    size = float(pdfium_c.FPDFText_GetFontSize(text, index))
    scale = (matrix.c**2 + matrix.d**2) ** 0.5
    red, green, blue, alpha = (ctypes.c_uint(0) for _ in range(4))
    if not pdfium_c.FPDFText_GetFillColor(text, index, red, green, blue, alpha):
        alpha.value = 255
    weight = pdfium_c.FPDFText_GetFontWeight(text, index)
    item = pdfium_c.FPDFText_GetTextObject(text, index)
    mode = pdfium_c.FPDFTextObj_GetTextRenderMode(item) if item else 0
    luma = 0.299 * red.value + 0.587 * green.value + 0.114 * blue.value
    bold = weight >= 600 or _has_bold_name(text, index) or mode == 2
    return _Style(
        round(size * (scale or 1.0), 1), bold, place.is_upright(matrix.a, matrix.b), mode, luma,
        alpha.value,
    )  # fmt: skip


def _has_bold_name(text: Any, index: int) -> bool:
    flags = ctypes.c_int()
    buffer = ctypes.create_string_buffer(128)
    length = pdfium_c.FPDFText_GetFontInfo(text, index, buffer, 128, flags)
    name = buffer.value.decode("latin-1").lower() if 0 < length <= 128 else ""
    return any(mark in name for mark in ("bold", "black", "heavy", "demi"))


def _mark_hidden(page: Any, words: list[Word], styles: list[_Style], clock: Clock) -> None:
    width, height = page.get_size()
    picture = _Picture(page, clock) if words and clock else None
    for word, style in zip(words, styles, strict=True):
        middle_x, middle_y = (word.left + word.right) / 2, (word.top + word.bottom) / 2
        if not (0 <= middle_x <= width and 0 <= middle_y <= height):
            word.hidden = "outside of the page"
        elif style.mode in _INVISIBLE_MODES:
            word.hidden = "drawn without ink"
        elif style.alpha < 20:
            word.hidden = "transparent"
        elif style.size < _MIN_SIZE_PT:
            word.hidden = "smaller than 2 points"
        elif picture is not None:
            word.hidden = picture.hides(word, style.luma)
    if words and all(w.hidden == "drawn without ink" for w in words) and _is_scan(page):
        for word in words:
            word.hidden = "scan"


class _Picture:
    """The page in grey, for looking at the place of a word."""

    def __init__(self, page: Any, clock: Clock) -> None:
        width, height = page.get_size()
        self.scale = min(1.0, (_MAX_PIXELS / max(width * height, 1.0)) ** 0.5)
        began = time.monotonic()
        bitmap = page.render(scale=self.scale, grayscale=True)
        self.width, self.height, self.stride = bitmap.width, bitmap.height, bitmap.stride
        self.pixels = bytes(bitmap.buffer)
        bitmap.close()
        clock.left -= time.monotonic() - began

    def _values(self, left: float, top: float, right: float, bottom: float) -> bytes:
        x0, x1 = max(0, int(left)), min(self.width, int(right) + 1)
        y0, y1 = max(0, int(top)), min(self.height, int(bottom) + 1)
        rows = range(y0, y1)
        return b"".join(self.pixels[y * self.stride + x0 : y * self.stride + x1] for y in rows)

    def hides(self, word: Word, luma: float) -> str:
        """How the picture hides the word; '' when something can be seen at its place."""
        left, top, right, bottom = (
            value * self.scale for value in (word.left, word.top, word.right, word.bottom)
        )
        pad = 1 if right - left < 3 or bottom - top < 3 else 0
        place = self._values(left - pad, top - pad, right + pad, bottom + pad)
        if not place:
            return "outside of the page"
        if max(place) - min(place) < _MIN_CONTRAST:
            return "the colour of its background, or covered"
        if luma >= _LIGHT:
            above = self._values(left - 1, top - 2, right + 1, top - 2)
            below = self._values(left - 1, bottom + 2, right + 1, bottom + 2)
            around = above + below
            is_light = sorted(place)[len(place) // 2] >= _LIGHT
            if is_light and sum(value >= _LIGHT for value in around) > 0.6 * len(around):
                return "the colour of its background"
        return ""
