"""Word's styles and list numbering: which paragraphs are headings, and what numbers they show."""

import re
from dataclasses import dataclass
from typing import Any

from rag.parsing.docx_runs import W, is_on

_MAX_BASES = 20


@dataclass(frozen=True)
class Style:
    """What a paragraph's style and own properties say. `level` is 0 for body text."""

    level: int = 0
    is_title: bool = False
    is_contents: bool = False
    is_code: bool = False
    number: tuple[str, int] | None = None


class Styles:
    """Paragraph styles by id, with what they inherit, and the ids of hidden character styles."""

    def __init__(self, document: Any) -> None:
        root = document.styles.element
        self._nodes = {node.get(W + "styleId"): node for node in root.findall(W + "style")}
        self._known: dict[str, Style] = {}
        default = [n for n in self._nodes.values() if n.get(W + "default") in ("1", "true")]
        self._default = next(
            (n.get(W + "styleId") for n in default if n.get(W + "type") == "paragraph"), ""
        )
        self.hidden = frozenset(
            key
            for key, node in self._nodes.items()
            if (vanish := node.find(f"{W}rPr/{W}vanish")) is not None and is_on(vanish)
        )

    def of(self, paragraph: Any) -> Style:
        """The style of a paragraph; its own outline level and numbering win."""
        properties = paragraph.find(W + "pPr")
        chosen = properties.find(W + "pStyle") if properties is not None else None
        key = chosen.get(W + "val") if chosen is not None else self._default
        style = self._style(key)
        if properties is None:
            return style
        level = _outline(properties)
        number = _number(properties)
        return Style(
            style.level if level is None else level,
            style.is_title,
            style.is_contents,
            style.is_code,
            number or style.number,
        )

    def _style(self, key: str) -> Style:
        if key not in self._known:
            self._known[key] = self._resolve(key)
        return self._known[key]

    def _resolve(self, key: str) -> Style:
        level, number, names = None, None, []
        for _ in range(_MAX_BASES):
            node = self._nodes.get(key)
            if node is None:
                break
            name_node = node.find(W + "name")
            name = (name_node.get(W + "val") or "").lower() if name_node is not None else ""
            names.append(name)
            properties = node.find(W + "pPr")
            if level is None and (found := re.fullmatch(r"heading (\d)", name)):
                level = int(found.group(1))
            if properties is not None:
                level = _outline(properties) if level is None else level
                number = number or _number(properties)
            base = node.find(W + "basedOn")
            key = base.get(W + "val") if base is not None else ""
        is_list = any(name.startswith("list ") for name in names)
        if is_list and number is None and any("bullet" in name for name in names):
            number = ("", 0)
        return Style(
            level or 0,
            "title" in names,
            any(re.match(r"toc(?: |$)|toc heading|table of figures", name) for name in names[:1]),
            any(re.search(r"\bcode\b|html preformatted|macro text|plain text", n) for n in names),
            number,
        )


def _outline(properties: Any) -> int | None:
    """The outline level as a heading's level; 0 for body text, None where nothing is said."""
    node = properties.find(W + "outlineLvl")
    value = node.get(W + "val", "") if node is not None else ""
    return (int(value) + 1 if int(value) < 9 else 0) if value.isdecimal() else None


def _number(properties: Any) -> tuple[str, int] | None:
    """(list id, level) of a numbered paragraph."""
    node = properties.find(W + "numPr")
    if node is None:
        return None
    identity, level = node.find(W + "numId"), node.find(W + "ilvl")
    depth = level.get(W + "val", "0") if level is not None else "0"
    name = identity.get(W + "val", "") if identity is not None else ""
    return (name, int(depth) if depth.isdecimal() else 0)


@dataclass(frozen=True)
class _Level:
    start: int
    form: str
    text: str


class Numbering:
    """Counts list items as Word shows them: `3.`, `4.2.1`, `b)`, or `-` for bullets."""

    def __init__(self, document: Any) -> None:
        self._levels: dict[str, dict[int, _Level]] = {}
        self._abstract: dict[str, str] = {}
        self._counts: dict[str, dict[int, int]] = {}
        try:
            root = document.part.numbering_part.element
        except (KeyError, NotImplementedError, AttributeError):
            return
        abstract = {
            node.get(W + "abstractNumId"): _levels(node) for node in root.findall(W + "abstractNum")
        }
        for node in root.findall(W + "num"):
            key = node.get(W + "numId")
            reference = node.find(W + "abstractNumId")
            source = reference.get(W + "val") if reference is not None else ""
            levels = dict(abstract.get(source, {}))
            restarts = False
            for override in node.findall(W + "lvlOverride"):
                depth = int(override.get(W + "ilvl", "0"))
                start = override.find(W + "startOverride")
                if start is not None and depth in levels:
                    old, restarts = levels[depth], True
                    levels[depth] = _Level(int(start.get(W + "val", "1")), old.form, old.text)
            self._levels[key] = levels
            # Lists of one definition count on together unless one of them starts anew.
            self._abstract[key] = key if restarts else f"abstract-{source}"

    def label(self, paragraph: Any, style: Style) -> tuple[str, int]:
        """The shown label ('' for none) and the depth of a paragraph; counts it."""
        if style.number is None:
            return "", 0
        key, depth = style.number
        if key == "0":
            return "", 0
        if key == "" or key not in self._levels or depth not in self._levels[key]:
            return ("" if style.level else "-"), depth
        levels = self._levels[key]
        counts = self._counts.setdefault(self._abstract[key], {})
        counts[depth] = counts.get(depth, levels[depth].start - 1) + 1
        for deeper in [level for level in counts if level > depth]:
            del counts[deeper]
        level = levels[depth]
        if level.form in ("bullet", "none"):
            return ("" if style.level or level.form == "none" else "-"), depth

        def shown(match: re.Match[str]) -> str:
            index = int(match.group(1)) - 1
            wanted = levels.get(index, level)
            return _formatted(counts.get(index, wanted.start), wanted.form)

        return re.sub(r"%(\d)", shown, level.text).strip(), depth


def _levels(node: Any) -> dict[int, _Level]:
    levels: dict[int, _Level] = {}
    for level in node.findall(W + "lvl"):
        start, form, text = (level.find(W + name) for name in ("start", "numFmt", "lvlText"))
        levels[int(level.get(W + "ilvl", "0"))] = _Level(
            int(start.get(W + "val", "1")) if start is not None else 1,
            form.get(W + "val", "decimal") if form is not None else "decimal",
            text.get(W + "val", "") if text is not None else "",
        )
    return levels


def _formatted(number: int, form: str) -> str:
    if form in ("lowerLetter", "upperLetter"):
        letters = chr(ord("a") + (number - 1) % 26) * ((number - 1) // 26 + 1)
        return letters if form == "lowerLetter" else letters.upper()
    if form in ("lowerRoman", "upperRoman"):
        roman = _roman(number)
        return roman.lower() if form == "lowerRoman" else roman
    return f"{number:02d}" if form == "decimalZero" else str(number)


def _roman(number: int) -> str:
    signs = (
        (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"),
        (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
    )  # fmt: skip
    text = ""
    for value, sign in signs:
        count, number = divmod(number, value)
        text += sign * count
    return text
