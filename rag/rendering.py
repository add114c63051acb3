"""Passages as HTML for the document viewer. Documents are data: everything is sanitised.

Raw HTML in Markdown stays visible text, pictures and relative links are dropped, links to other
sites open without a referrer.
"""

import functools
import re

import nh3
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

_TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li",
    "ol", "p", "pre", "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_CALLOUT = re.compile(r"<p><strong>(Verify|Warning|Caution|Hold point)\b")
_TABLE_RULE = re.compile(r"^\|(?:\s*:?-{3,}:?\s*\|)+\s*$")
_ATTRIBUTES = {"a": {"href"}, "ol": {"start"}}


@functools.cache
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def _attribute(tag: str, name: str, value: str) -> str | None:
    if tag == "a" and name == "href":
        return value if re.match(r"(?:https?:|mailto:)", value, re.IGNORECASE) else None
    return value


def passage_html(*, text: str, markup: str) -> SafeString:
    """A passage's text as safe HTML; plain text keeps its line breaks."""
    if markup == "markdown":
        rendered = _markdown().render(text)
    else:
        rendered = "".join(_plain_html(piece) for piece in re.split(r"\n\s*\n", text))
    clean = nh3.clean(
        rendered,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    marked = _CALLOUT.sub(_callout, clean)
    return mark_safe(marked)  # noqa: S308  (sanitised by nh3; the classes are fixed words)


def _plain_html(piece: str) -> str:
    """A paragraph of plain text with its line breaks; the tables that readers of PDF and Word
    write as Markdown become tables."""
    parts, lines = [], piece.split("\n")
    while lines:
        rows = next((n for n, line in enumerate(lines) if not line.startswith("|")), len(lines))
        if rows > 1 and _TABLE_RULE.match(lines[1]):
            parts.append(_markdown().render("\n".join(lines[:rows])))
        else:
            later = (
                n
                for n in range(1, len(lines) - 1)
                if lines[n].startswith("|") and _TABLE_RULE.match(lines[n + 1])
            )
            rows = next(later, len(lines))
            parts.append(f"<p>{escape(chr(10).join(lines[:rows])).replace(chr(10), '<br>')}</p>")
        lines = lines[rows:]
    return "".join(parts)


def _callout(match: re.Match[str]) -> str:
    tone = {"Verify": "verify", "Hold point": "hold"}.get(match.group(1), "warning")
    return f'<p class="callout callout--{tone}"><strong>{match.group(1)}'


def plain_text(text: str) -> str:
    """Markdown as one line of plain words, for snippets."""
    words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    words = re.sub(r"\*\*|`+|^\s*(?:[-*]|#{1,6})\s+|^\|?[-|: ]{5,}$", "", words, flags=re.MULTILINE)
    return " ".join(words.split())
