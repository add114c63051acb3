"""HTML by lxml: what a reader of the page sees, as blocks; what the page hides is left out.

Walked without recursion, so that depth costs nothing. Scripts, styles, navigation and forms are
skipped; nothing is fetched.
"""

import contextlib
import re
from typing import Any

from lxml import etree, html

from rag.parsing.blocks import Block, BlockKind, ParsedDocument, ParseError
from rag.parsing.html_hidden import Visibility
from rag.parsing.html_tables import table_text
from rag.parsing.scan import findings, flag, hidden_flag
from rag.parsing.text import decode, title_from_name

_SKIPPED = {
    "script", "style", "noscript", "template", "svg", "iframe", "object", "nav", "head", "select",
    "canvas", "audio", "video", "map", "button", "textarea", "datalist", "dialog",
}  # fmt: skip
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BREAKING = {
    "p", "div", "section", "article", "table", "tr", "blockquote", "body", "dl", "main", "header",
    "footer", "aside", "figure", "figcaption", "address", "details", "summary", "fieldset", "form",
    "hr", "center", "ul", "ol", "menu",
}  # fmt: skip
_LISTS = {"ul", "ol", "menu"}
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{3,30})", re.IGNORECASE)


class _Reader:
    """Collects blocks while the tree is walked."""

    def __init__(self, visibility: Visibility) -> None:
        self.blocks: list[Block] = []
        self.flags: list[dict[str, Any]] = []
        self._visible = visibility
        self._words: list[str] = []
        self._kind: BlockKind = "paragraph"
        self._level = 0
        self._pre = 0
        self._lists: list[int | None] = []

    def walk(self, root: Any) -> None:
        """Visit the tree in document order."""
        walker = etree.iterwalk(root, events=("start", "end", "comment"))
        for event, node in walker:
            if event == "comment":
                self._comment(node.text or "")
            elif not isinstance(node.tag, str):
                pass
            elif event == "start":
                if not self._start(node):
                    walker.skip_subtree()
                    continue
                self._text(node.text)
            else:
                self._end(node)
            if event != "start":
                self._text(node.tail)
        self.flush()

    def _start(self, node: Any) -> bool:
        """Open an element; False when its subtree is not to be walked."""
        tag = node.tag
        if tag in _SKIPPED:
            return False
        if how := self._visible.hides(node):
            if found := hidden_flag(" ".join(node.itertext()), how):
                self.flags.append(found)
            return False
        if tag == "table" and (text := table_text(node, self._visible)):
            self.flush()
            self.blocks.append(Block("table", text))
            return False
        if tag == "br":
            self._words.append("\n")
        elif tag in _HEADINGS:
            self.flush()
            self._kind, self._level = "heading", _HEADINGS[tag]
        elif tag in _LISTS:
            if not self._lists:
                self.flush()
            self._lists.append(_start_number(node) if tag == "ol" else None)
        elif tag == "li":
            self._item(node)
        elif tag == "pre":
            self.flush()
            self._kind, self._pre = "code", self._pre + 1
        elif tag == "dt":
            self.flush()
            self._kind = "item"
        elif tag in ("dd", "td", "th"):
            self._words.append("\n")
        elif tag in _BREAKING:
            self._break()
        return True

    def _item(self, node: Any) -> None:
        depth = max(1, len(self._lists))
        number = self._lists[-1] if self._lists else None
        if number is not None:
            value = node.get("value", "")
            number = int(value) if re.fullmatch(r"\d{1,6}", value) else number
            self._lists[-1] = number + 1
        mark = "- " if number is None else f"{number}. "
        if depth == 1:
            self.flush()
            self._kind = "item"
            self._words.append(mark)
        else:
            self._words.append("\n" + "\x01" * (depth - 1) + mark)

    def _end(self, node: Any) -> None:
        tag = node.tag
        if tag in _SKIPPED or tag == "br":
            return
        if tag in _LISTS:
            if self._lists:
                self._lists.pop()
            if not self._lists:
                self.flush()
        elif tag == "pre":
            self._pre = max(0, self._pre - 1)
            self.flush()
        elif tag in _HEADINGS or tag == "dd" or (tag == "li" and len(self._lists) <= 1):
            self.flush()
        elif tag in _BREAKING:
            self._break()

    def _break(self) -> None:
        """A block's border: inside of an item a new line, elsewhere a new block."""
        if self._kind == "item" and (self._lists or self._words):
            self._words.append("\n")
        elif self._kind not in ("heading", "code"):
            self.flush()
        else:
            self._words.append("\n" if self._kind == "code" else " ")

    def _text(self, text: str | None) -> None:
        if text:
            self._words.append(text if self._pre else re.sub(r"\s+", " ", text))

    def _comment(self, text: str) -> None:
        if findings(text) and (found := hidden_flag(text, "a comment")):
            self.flags.append(found)

    def flush(self) -> None:
        """End the block that is being collected."""
        raw = "".join(self._words)
        text = raw.strip("\n").rstrip() if self._kind == "code" else _squeeze(raw)
        if text.strip() and not re.fullmatch(r"-|\d+\.", text.strip()):
            if self._kind == "heading":
                text = " ".join(text.split())
            self.blocks.append(Block(self._kind, text, level=self._level))
        self._words, self._kind, self._level = [], "paragraph", 0


def _start_number(node: Any) -> int:
    start = node.get("start", "")
    return int(start) if re.fullmatch(r"\d{1,6}", start) else 1


def _squeeze(raw: str) -> str:
    lines = (re.sub(r"[^\S\n]+", " ", line).strip() for line in raw.split("\n"))
    text = "\n".join(line for line in lines if line)
    # A list's mark stands before the first words of its item, whatever elements are between.
    text = re.sub(r"^(\x01*(?:-|\d+\.))\n(?!\x01*(?:-|\d+\.)\s)", r"\1 ", text, flags=re.MULTILINE)
    return re.sub("^\x01+", lambda found: "  " * len(found.group()), text, flags=re.MULTILINE)


def _decoded(data: bytes, name: str) -> str:
    """The file as text; the charset that it declares counts when it is not UTF-8."""
    declared = _CHARSET.search(data[:4096])
    if declared and data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        charset = declared.group(1).decode("ascii").lower()
        if charset not in ("utf-8", "utf8") and not charset.startswith("utf-16"):
            with contextlib.suppress(LookupError):
                data = data.decode(charset, errors="replace").encode("utf-8")
    return decode(data, name)


def parse(data: bytes, name: str) -> ParsedDocument:
    """Parse HTML. Title: `<title>`, else the first heading, else the file's name."""
    source = re.sub(r"^\s*<\?xml[^>]*>", "", _decoded(data, name))
    parser = html.HTMLParser(huge_tree=True, no_network=True, remove_pis=True, recover=True)
    try:
        root = html.document_fromstring(source, parser=parser)
    except (etree.ParserError, ValueError):
        return ParsedDocument(title=title_from_name(name), blocks=[])
    except etree.LxmlError as error:
        raise ParseError(f"{name}: broken HTML ({error}); save it again and retry") from error
    if any("depth" in entry.message.lower() for entry in parser.error_log):
        raise ParseError(f"{name}: is nested too deeply; save it again in a simpler form")
    reader = _Reader(Visibility(root))
    reader.walk(root)
    blocks = reader.blocks
    heading = next((block.text for block in blocks if block.kind == "heading"), "")
    title = " ".join((root.findtext("./head/title") or "").split())
    title = title or heading or title_from_name(name)
    if len(blocks) > 1 and blocks[0].kind == "heading" and blocks[0].text == title:
        blocks = blocks[1:]
    flags = reader.flags
    if root.xpath("boolean(//script | //iframe | //object | //embed | //@onload | //@onerror)"):
        active = [found for found in root.iter("script") if findings(found.text or "")]
        flags += [flag("hidden_text", "a script addresses a language model")] if active else []
    author = root.xpath("string(//meta[translate(@name,'AUTHOR','author')='author']/@content)")
    meta = {"author": str(author).strip()} if str(author).strip() else {}
    return ParsedDocument(title=title[:300], blocks=blocks, meta=meta, flags=flags)
