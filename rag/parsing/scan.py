"""What an approver should see before a document may answer: hidden text, and text that addresses
a language model.

Invisible text never reaches a block: parsers leave it out and record it (`hidden_flag`), invisible
characters are removed here. Sentences that read like instructions to a model stay readable and
are flagged on their block and on the document, with an excerpt and the page. The scan is a help
for people, not the defence: answers are built so that a document's text cannot act
(docs/hostile-documents.md). Sources: OWASP LLM Top 10 2025, LLM01 and LLM08.
"""

import base64
import binascii
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from rag.parsing.blocks import Block, ParsedDocument
from rag.parsing.scan_patterns import BLOB, CONFUSABLES, INSTRUCTIONS, SPACED, TEMPLATE_TOKENS

MAX_FLAGS = 50
_EXCERPT_CHARS = 160

MEANINGS = {
    "hidden_text": "invisible text was left out",
    "hidden_characters": "invisible characters were removed",
    "instruction": "reads like an instruction to a language model",
    "template_token": "contains a chat template's control token",
    "encoded_blob": "contains encoded text",
    "keyword_stuffing": "repeats the same words to be found",
    "scan_text": "the text lies invisibly over a scanned page and was not compared with it",
    "tracked_changes": "tracked deletions were left out",
}

# Zero-width characters, bidirectional controls, tag characters, variation selectors' supplement.
_INVISIBLE = re.compile(
    "[\u200b\u2060-\u2064\ufeff\u180e\u034f\u115f\u1160\u3164\uffa0\u202a-\u202e\u2066-\u2069"
    "\ufff9-\ufffb\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
    # Joiners have a meaning only between letters of scripts that join, and in emoji.
    "|(?<![\u0600-\u08ff\u0900-\u0dff\u2600-\u27bf\ufe0f\U0001f000-\U0001faff])[\u200c\u200d]"
)
# Typesetting without a meaning of its own: removed and not worth a word.
_SILENT = re.compile("[\u00ad\u200e\u200f]|(?<![\u2600-\u27bf\u2190-\u21ff\\d#*])[\ufe00-\ufe0f]")
_TAGS = re.compile("[\U000e0020-\U000e007e]{4,}")


def hidden_flag(text: str, how: str, page: int | None = None) -> dict[str, Any] | None:
    """The flag for text that a reader of the document does not see; None for blank text."""
    words = text.split()
    if not words:
        return None
    count = f"{len(words)} invisible word{'' if len(words) == 1 else 's'} left out ({how})"
    return flag("hidden_text", f"{count}: {quoted(text)}", page)


def flag(code: str, detail: str, page: int | None = None) -> dict[str, Any]:
    """One entry of `ParsedDocument.flags`."""
    return {"code": code, "detail": detail} | ({"page": page} if page is not None else {})


def quoted(text: str) -> str:
    """An excerpt in one line and in quotation marks, at most 160 characters."""
    line = " ".join(_INVISIBLE.sub("", text).split())
    return f"“{line[: _EXCERPT_CHARS - 1]}…”" if len(line) > _EXCERPT_CHARS else f"“{line}”"


def scan(document: ParsedDocument) -> ParsedDocument:
    """The document without invisible characters, its suspicious blocks and itself flagged."""
    flags = list(document.flags)
    blocks: list[Block] = []
    removed, smuggled = 0, ""
    for block in document.blocks:
        text, count, message = without_invisible(block.text)
        removed += count
        smuggled += message
        if not text.strip():
            continue
        found = findings(text)
        if block.kind in ("paragraph", "item") and (stuffed := _stuffed(text)):
            found.append(("keyword_stuffing", quoted(stuffed)))
        flags += [flag(code, f"{MEANINGS[code]}: {detail}", block.page) for code, detail in found]
        codes = tuple(dict.fromkeys([*block.flags, *(code for code, _ in found)]))
        blocks.append(replace(block, text=text, flags=codes))
    title, count, message = without_invisible(document.title)
    removed, smuggled = removed + count, smuggled + message
    flags += [flag(code, f"the title {MEANINGS[code]}: {d}") for code, d in findings(title)]
    if removed:
        spelled = f"; they spell {quoted(smuggled)}" if smuggled else ""
        flags.insert(0, flag("hidden_characters", f"{removed} invisible characters{spelled}"))
    return replace(document, title=title, blocks=blocks, flags=_distinct(flags))


def without_invisible(text: str) -> tuple[str, int, str]:
    """The text without invisible characters, how many there were, and what tag characters spell."""
    if text.isascii():
        return text, 0, ""
    spelled = "".join(chr(ord(char) - 0xE0000) for run in _TAGS.findall(text) for char in run)
    clean, count = _INVISIBLE.subn("", text)
    return _SILENT.sub("", clean), count, spelled


def findings(text: str) -> list[tuple[str, str]]:
    """(code, excerpt) of what in a text addresses a language model. Linear in the text."""
    found: list[tuple[str, str]] = []
    if match := TEMPLATE_TOKENS.search(text):
        found.append(("template_token", quoted(_around(text, match))))
    plain = normal(text)
    if match := INSTRUCTIONS.search(plain):
        found.append(("instruction", quoted(_around(plain, match))))
    for match in BLOB.finditer(text):
        if decoded := _decoded(match.group()):
            found.append(("encoded_blob", quoted(decoded)))
            break
    return found


def _stuffed(text: str) -> str:
    """The three words that a paragraph says over and over, '' for ordinary prose: at least four
    times, and a third of at least 25 words."""
    words = re.findall(r"[a-zà-ÿ0-9-]+", text.casefold())
    if len(words) < 25:
        return ""
    runs = Counter(zip(words, words[1:], words[2:], strict=False))
    run = " ".join(runs.most_common(1)[0][0])
    # As written, with blanks between: names with dots and slashes are output of a program.
    count = " ".join(text.casefold().split()).count(run)
    return run if count >= 4 and 9 * count >= len(words) else ""


def codes_in(text: str) -> tuple[str, ...]:
    """The codes of `findings` for a part of a flagged block."""
    return tuple(code for code, _ in findings(text))


def normal(text: str) -> str:
    """Lower case, compatibility forms resolved, look-alike letters as Latin, spaced-out words
    joined, emphasis marks gone: what a model would read."""
    folded = unicodedata.normalize("NFKC", _SILENT.sub("", _INVISIBLE.sub("", text))).casefold()
    folded = re.sub(r"[*_`~\"'“”‘’]+", "", folded.translate(CONFUSABLES))
    folded = SPACED.sub(lambda match: re.sub(r"[ .\-]", "", match.group()), folded)
    return re.sub(r"\s+", " ", folded)


def _around(text: str, match: re.Match[str]) -> str:
    """The match with what stands before and behind it, up to the sentence's ends."""
    start = max(text.rfind(mark, 0, match.start()) for mark in (". ", "! ", "? ", "\n"))
    start = start + 1 if start >= 0 else 0
    return text[max(start, match.start() - 60) : match.end() + 90]


def _decoded(blob: str) -> str:
    """What a base64 run says, when it says something readable; else ''."""
    try:
        raw = base64.b64decode(blob[: len(blob) // 4 * 4], validate=True)
        text = raw.decode("utf-8")
    except (binascii.Error, ValueError):
        return ""
    readable = sum(char.isalnum() or char in " .,:;!?'\"-\n" for char in text)
    return text if text.count(" ") >= 3 and readable >= 0.9 * len(text) else ""


def _distinct(flags: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Flags without repeats; the last says how many more there are."""
    distinct = list({(f["code"], f["detail"]): f for f in flags}.values())
    if len(distinct) <= MAX_FLAGS:
        return distinct
    more = len(distinct) - MAX_FLAGS + 1
    return [*distinct[: MAX_FLAGS - 1], flag("instruction", f"{more} more places are not listed")]
