"""Markdown with optional YAML front matter, cut into blocks along markdown-it's line maps.

Blocks keep their Markdown source, so that the viewer can render a passage on its own. List items
become single blocks, so that a long list can be cut between items.
"""

import re
from typing import Any

import frontmatter
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from rag.parsing.blocks import Block, BlockKind, ParsedDocument, ParseError
from rag.parsing.scan import findings, hidden_flag
from rag.parsing.text import decode, title_from_name

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_KINDS: dict[str, BlockKind] = {"fence": "code", "code_block": "code", "table_open": "table"}

# Pictures would be fetched from elsewhere by whoever renders an answer; links that run something
# are no links.
_IMAGE = re.compile(r"!\[([^\]\n]*)\]\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)")
_ACTIVE_LINK = re.compile(
    r"\[([^\]\n]+)\]\(\s*<?(?:javascript|data|vbscript|file|blob)\s*:"
    r"[^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)",
    re.IGNORECASE,
)
_MAX_META_VALUES = 10_000
_NO_BLOCK = {"bullet_list_open", "ordered_list_open", "hr", "inline"}


def parse(data: bytes, name: str) -> ParsedDocument:
    """Parse Markdown. Title: front matter `title`, else the first heading, else the file's name.

    Raises ParseError when the front matter is not valid YAML (the message gives its line).
    """
    source = decode(data, name)
    try:
        meta, body = frontmatter.parse(source)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise ParseError(f"{name}: front matter is not valid YAML{where}: {problem}") from error
    if _is_too_large(meta):
        raise ParseError(f"{name}: front matter grows beyond reason; remove its YAML aliases")
    flags = [
        found
        for comment in _COMMENT.findall(body)
        if findings(comment) and (found := hidden_flag(comment[4:-3], "a comment"))
    ]
    body = _COMMENT.sub("", body)
    env: dict[str, Any] = {}
    tokens = MarkdownIt("commonmark").enable("table").parse(body, env)
    lines = _inline_references(body, env).split("\n")
    blocks = _blocks(tokens, lines)
    heading = next((block.text for block in blocks if block.kind == "heading"), "")
    title = str(meta.get("title") or heading or title_from_name(name))
    if blocks and blocks[0].kind == "heading" and blocks[0].level == 1:
        blocks = _without_title(blocks, title)
    return ParsedDocument(
        title=title[:300], blocks=blocks, meta=dict(meta), markup="markdown", flags=flags
    )


def _is_too_large(meta: Any) -> bool:
    """Whether the front matter has more than 10,000 values: aliases of aliases multiply."""
    waiting, count = [meta], 0
    while waiting and count <= _MAX_META_VALUES:
        value = waiting.pop()
        count += 1
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple | set):
            waiting.extend(value)
    return count > _MAX_META_VALUES


def _without_title(blocks: list[Block], title: str) -> list[Block]:
    """Drop the leading H1 where it only repeats the title (an id beside it is in the front
    matter): every section path below would carry the title a second time."""
    if len(blocks) > 1 and title.casefold() in blocks[0].text.casefold():
        return blocks[1:]
    return blocks


def _blocks(tokens: list[Token], lines: list[str]) -> list[Block]:
    blocks: list[Block] = []
    list_depth = 0
    for index, token in enumerate(tokens):
        if token.type in ("bullet_list_open", "ordered_list_open"):
            list_depth += 1
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            list_depth -= 1
        if not token.map or token.nesting < 0:
            continue
        start, end = token.map
        if token.type == "list_item_open" and token.level == 1 and list_depth == 1:
            _append(blocks, "item", lines[start:end])
        elif token.level == 0 and token.type == "heading_open":
            inline = tokens[index + 1]
            blocks.append(Block("heading", _plain(inline), level=int(token.tag[1])))
        elif token.level == 0 and token.type not in _NO_BLOCK:
            _append(blocks, _KINDS.get(token.type, "paragraph"), lines[start:end])
    return blocks


def _append(blocks: list[Block], kind: BlockKind, lines: list[str]) -> None:
    text = "\n".join(lines).strip("\n").rstrip()
    if kind != "code":
        text = _ACTIVE_LINK.sub(r"\1", _IMAGE.sub(r"\1", text))
    if text.strip():
        blocks.append(Block(kind, text))


def _plain(inline: Token) -> str:
    """The heading's words without markup; the raw source where nothing else is left."""
    words = "".join(
        child.content if child.type in ("text", "code_inline") else " "
        for child in inline.children or []
        if child.type in ("text", "code_inline", "softbreak", "hardbreak")
    )
    return re.sub(r"\s+", " ", words).strip() or inline.content.strip()


def _inline_references(body: str, env: dict[str, Any]) -> str:
    """Turn `[text][ref]` into `[text](url)`: a passage is shown without the rest of its page."""
    references = env.get("references", {})

    def replace(match: re.Match[str]) -> str:
        text, label = match.group(1), match.group(2) or match.group(1)
        found = references.get(" ".join(label.split()).upper())
        return f"[{text}]({found['href']})" if found else match.group(0)

    return re.sub(r"\[([^\[\]\n]+)\]\[([^\[\]\n]*)\]", replace, body) if references else body
