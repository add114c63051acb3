"""What an HTML page hides from its reader: attributes, inline styles, and its own style sheets."""

import re
from typing import Any

from lxml import etree

_HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|opacity\s*:\s*0*\.?0+(?![.\d])"
    r"|font-size\s*:\s*(?:0*\.?0+(?:px|pt|em|rem|%)?|0?\.?[01](?:px|pt))\s*(?:;|!|$)"
    r"|text-indent\s*:\s*-\d{3,}|(?:left|top|right|bottom|margin-left)\s*:\s*-\d{3,}"
    r"|clip\s*:\s*rect\(\s*0|clip-path\s*:\s*inset\(\s*(?:50|100)%|transform\s*:\s*scale\(\s*0\s*\)"
    r"|(?:max-)?(?:height|width)\s*:\s*[01](?:px)?\s*(?:;|!|$)(?=.*overflow\s*:\s*hidden)"
    r"|overflow\s*:\s*hidden(?=.*(?:height|width)\s*:\s*[01](?:px)?\s*(?:;|!|$))"
    r"|(?<![\w-])color\s*:\s*transparent",
    re.IGNORECASE | re.DOTALL,
)
_COLOUR = re.compile(r"(?:^|;)\s*color\s*:\s*([^;!]+)", re.IGNORECASE)
_BACKGROUND = re.compile(r"background(?:-color|-image)?\s*:\s*([^;!]+)", re.IGNORECASE)
_RULE = re.compile(r"([^{}@]{1,500})\{([^{}]{1,2000})\}")
_SIMPLE = re.compile(r"^(?:[a-zA-Z][\w-]*)?[.#][\w-]+$")
_MAX_RULES = 5000


class Visibility:
    """Answers whether an element is hidden, for one page. Rules that need more than one class or
    id (descendants, media, states) are not followed; a browser is not rebuilt here."""

    def __init__(self, root: Any) -> None:
        self._rules: dict[str, str] = {}
        for style in root.iter("style"):
            sheet = re.sub(r"/\*.*?\*/", "", style.text or "", flags=re.DOTALL)
            sheet = re.sub(r"@[^{;]*(?:;|\{(?:[^{}]*\{[^{}]*\})*[^{}]*\})", "", sheet)
            for selectors, body in _RULE.findall(sheet)[:_MAX_RULES]:
                for selector in selectors.split(","):
                    name = selector.strip()
                    if _SIMPLE.match(name):
                        key = name[min(i for i in (name.find("."), name.find("#")) if i >= 0) :]
                        self._rules[key] = self._rules.get(key, "") + ";" + body

    def hides(self, node: Any) -> str:
        """How the element is hidden ('' when it is not): the words for the flag."""
        if not isinstance(node.tag, str):
            return ""
        if node.get("hidden") is not None:
            return "hidden attribute"
        if (node.get("aria-hidden") or "").strip().lower() == "true":
            return "aria-hidden"
        style = self._style(node)
        if not style:
            return ""
        if match := _HIDING.search(style):
            return " ".join(match.group().split())
        return self._same_colour(node, style)

    def hides_within(self, node: Any, top: Any) -> str:
        """Whether the element or one of its parents below `top` is hidden."""
        while node is not None and node is not top:
            if how := self.hides(node):
                return how
            node = node.getparent()
        return ""

    def text(self, node: Any) -> str:
        """The visible words below an element in one line."""
        words: list[str] = []
        walker = etree.iterwalk(node, events=("start", "end", "comment"))
        for event, found in walker:
            is_element = isinstance(found.tag, str)
            if event == "start":
                if found.tag in ("script", "style", "template") or self.hides(found):
                    walker.skip_subtree()
                    continue
                words.append(found.text or "")
                continue
            if is_element and found.tag in ("br", "p", "li", "div"):
                words.append(" ")
            if found is not node:
                words.append(found.tail or "")
        return " ".join("".join(words).split())

    def _style(self, node: Any) -> str:
        parts = [node.get("style") or ""]
        if self._rules:
            keys = [f".{name}" for name in (node.get("class") or "").split()]
            keys.append(f"#{node.get('id')}")
            parts += [self._rules[key] for key in keys if key in self._rules]
        return ";".join(part for part in parts if part)

    def _same_colour(self, node: Any, style: str) -> str:
        """White on a page that sets no background, or a colour on itself."""
        colour = _COLOUR.search(style)
        if colour is None:
            return ""
        ink = _rgb(colour.group(1))
        if ink is None:
            return ""
        ground: tuple[int, int, int] | None = (255, 255, 255)
        parent: Any = node
        while parent is not None:
            own = _BACKGROUND.search(style if parent is node else self._style(parent))
            if own or (parent.get("bgcolor")):
                ground = _rgb(own.group(1) if own else parent.get("bgcolor"))
                break
            parent = parent.getparent()
        if ground is None:
            return ""
        is_same = all(abs(a - b) <= 8 for a, b in zip(ink, ground, strict=True))
        return "the colour of its background" if is_same else ""


def _rgb(value: str) -> tuple[int, int, int] | None:
    """Red, green, blue of a colour in the usual notations; None for any other."""
    text = value.strip().lower()
    named = {"white": (255, 255, 255), "black": (0, 0, 0), "#fff": (255, 255, 255)}
    if text in named:
        return named[text]
    if found := re.match(r"#([0-9a-f]{6})\b", text):
        raw = found.group(1)
        return int(raw[:2], 16), int(raw[2:4], 16), int(raw[4:], 16)
    if found := re.match(r"#([0-9a-f])([0-9a-f])([0-9a-f])\b", text):
        red, green, blue = (int(char * 2, 16) for char in found.groups())
        return red, green, blue
    if found := re.match(r"rgba?\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})", text):
        return int(found.group(1)), int(found.group(2)), int(found.group(3))
    return None
