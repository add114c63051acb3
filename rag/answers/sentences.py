"""Texts as sentences and content words (pure functions).

A *unit* is the smallest piece of a source that is quoted: a sentence, a list item, or a table row
with its header.
"""

import re

_WORD = re.compile(r"[A-Za-z][A-Za-z'’]*|\d+(?:\.\d+)?")
_STOP_WORDS = """
a an the and or but if of to in on at by for from with as is are was were be been being it its this
that these those there then than so such into out up down over under about your you i he she they
them we our their his her will would can could should shall may might must do does did has have had
not no what which who when where why how all any each also only just please s t re ve ll
"""
_STOP = frozenset(_STOP_WORDS.split())
_LIST_MARK = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+")
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]*_]*\s+(?=[\"'(\[*_`]*[A-Z0-9])")
_ABBREVIATION = re.compile(
    r"\b(?:e\.g|i\.e|etc|approx|no|nos|fig|vs|min|max|sec|rev|ca|incl|resp|dept)\.$", re.IGNORECASE
)
_RULE = re.compile(r"^\s*\|?[\s:|-]*-{3,}[\s:|-]*$")
_MARKUP = re.compile(r"\*\*|__|`+|^\s{0,3}#{1,6}\s+|^\s*>\s?", re.MULTILINE)


def split_sentences(text: str) -> list[str]:
    """Cut a text into sentences; line breaks end a sentence too. No character but white space
    is lost, and the order is kept."""
    sentences: list[str] = []
    for line in text.split("\n"):
        mark = _LIST_MARK.match(line)
        head, body = (line[: mark.end()], line[mark.end() :]) if mark else ("", line)
        start = 0
        for found in _SENTENCE.finditer(body):
            if not _ABBREVIATION.search(body[: found.start()].rstrip("\"')]")):
                sentences.append(head + body[start : found.end()].strip())
                head, start = "", found.end()
        if (head + body[start:]).strip():
            sentences.append((head + body[start:]).strip())
    return sentences


def units(text: str) -> list[str]:
    """The quotable pieces of a source text in order.

    Wrapped lines of one paragraph are joined before sentences are cut; a table row is preceded by
    its header row; fenced code is one unit; rules are left out.
    """
    found: list[str] = []
    for block in _blocks(text):
        lines = block.split("\n")
        if lines[0].lstrip().startswith(("```", "~~~")):
            found.append(block)
        elif _is_table(lines):
            rows = [line for line in lines if not _RULE.match(line)]
            found += [f"{rows[0]}\n{row}" for row in rows[1:]] or rows
        else:
            for piece in _unwrapped(lines):
                found += split_sentences(piece)
    return found


def _blocks(text: str) -> list[str]:
    """Paragraphs, with fenced code kept whole across blank lines."""
    blocks: list[str] = []
    current: list[str] = []
    fence = ""
    for line in text.split("\n"):
        mark = line.lstrip()[:3]
        if fence:
            current.append(line)
            if mark == fence:
                blocks.append("\n".join(current))
                current, fence = [], ""
            continue
        opens = mark in {"```", "~~~"}
        if (not line.strip() or opens) and current:
            blocks.append("\n".join(current))
            current = []
        if opens:
            fence = mark
        if line.strip():
            current.append(line)
    if current:
        blocks.append("\n".join(current))
    return blocks


def _is_table(lines: list[str]) -> bool:
    return len(lines) > 1 and all(line.lstrip().startswith("|") for line in lines)


def _unwrapped(lines: list[str]) -> list[str]:
    """Paragraph lines joined; each list item is a piece of its own."""
    pieces: list[str] = []
    for line in lines:
        if pieces and not _LIST_MARK.match(line):
            pieces[-1] += " " + line.strip()
        else:
            pieces.append(line.rstrip())
    return pieces


def bare(text: str) -> str:
    """A text without Markdown marks and citation marks, white space collapsed; for comparing."""
    plain = _MARKUP.sub("", re.sub(r"\s*\[\d{1,2}\]", "", text))
    return " ".join(_LIST_MARK.sub("", plain).split())


def words(text: str) -> list[str]:
    """All words in lower case, in order."""
    return [word.lower().replace("’", "'") for word in _WORD.findall(text)]


def is_content(word: str) -> bool:
    """Whether a lower-case word carries meaning of its own."""
    return word not in _STOP


def content_words(text: str) -> list[str]:
    """Lower-case words without stop words, reduced to a crude stem."""
    return [stem(word) for word in words(text) if is_content(word)]


def stem(word: str) -> str:
    """A crude stem, equal for the forms of one word."""
    for suffix in ("ings", "ing", "ied", "ies", "ed", "es", "ly", "s", "e"):
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return word[: -len(suffix)]
    return word


def overlap(sentence: str, source: str) -> float:
    """The share of the sentence's content words that occur in the source, 0…1."""
    own = set(content_words(sentence))
    if not own:
        return 0.0
    return len(own & set(content_words(source))) / len(own)
