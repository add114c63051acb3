"""HTML by the standard library's parser: text only; scripts, styles and markup are left behind."""

import re
from html.parser import HTMLParser

from rag.parsing.blocks import Block, BlockKind, ParsedDocument
from rag.parsing.text import decode, title_from_name

_SKIPPED = {"script", "style", "noscript", "template", "svg", "iframe", "object", "nav"}
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BREAKING = {"p", "div", "section", "article", "table", "ul", "ol", "blockquote", "body", "dl"}
_KINDS: dict[str, BlockKind] = {"li": "item", "dt": "item", "dd": "item", "pre": "code"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self.title = ""
        self._words: list[str] = []
        self._kind: BlockKind = "paragraph"
        self._level = 0
        self._skip = 0
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SKIPPED:
            self._skip += 1
        elif tag == "title":
            self._in_title = True
        elif tag == "br":
            self._words.append("\n")
        elif tag in _HEADINGS:
            self.flush()
            self._kind, self._level = "heading", _HEADINGS[tag]
        elif tag in _KINDS or tag == "tr":
            self.flush()
            self._kind = _KINDS.get(tag, "table")
        elif tag in ("td", "th"):
            if self._words:
                self._words.append(" | ")
        elif tag in _BREAKING:
            self.flush()

    def handle_endtag(self, tag: str) -> None:
        if tag in _SKIPPED:
            self._skip = max(0, self._skip - 1)
        elif tag == "title":
            self._in_title = False
        elif tag in _HEADINGS or tag in _KINDS or tag == "tr" or tag in _BREAKING:
            self.flush()

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data
        elif not self._skip:
            self._words.append(data)

    def flush(self) -> None:
        raw = "".join(self._words)
        text = raw.strip("\n") if self._kind == "code" else _squeeze(raw)
        if text.strip():
            if self._kind == "table" and self.blocks and self.blocks[-1].kind == "table":
                text = self.blocks.pop().text + "\n" + text
            self.blocks.append(Block(self._kind, text, level=self._level))
        self._words, self._kind, self._level = [], "paragraph", 0


def _squeeze(raw: str) -> str:
    lines = (re.sub(r"[^\S\n]+", " ", line).strip() for line in raw.split("\n"))
    return re.sub(r"\n{2,}", "\n", "\n".join(lines)).strip()


def parse(data: bytes, name: str) -> ParsedDocument:
    """Parse HTML. Title: `<title>`, else the first heading, else the file's name."""
    reader = _Reader()
    reader.feed(decode(data, name))
    reader.close()
    reader.flush()
    heading = next((block.text for block in reader.blocks if block.kind == "heading"), "")
    title = _squeeze(reader.title) or heading or title_from_name(name)
    blocks = reader.blocks
    if len(blocks) > 1 and blocks[0].kind == "heading" and blocks[0].text == title:
        blocks = blocks[1:]
    return ParsedDocument(title=title[:300], blocks=blocks)
