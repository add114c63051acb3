"""The words of a passage that a search matched, marked for the bench."""

import re
from collections.abc import Iterable

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from rag.codes import normalise

WORDS_SHOWN = 46
WORDS_BEFORE = 8
# An English suffix is at most this much longer than the stem that the index keeps.
LONGEST_SUFFIX = 5
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-/]*[A-Za-z0-9%]|[A-Za-z0-9]")


def snippet_html(text: str, terms: Iterable[str]) -> SafeString:
    """Some fifty words of the text around the first match, with the matched words in <mark>.

    `terms` are the index's lexemes and codes; a word counts as matched when it is such a code or
    begins with such a stem.
    """
    stems = {term for term in terms if term}
    words = text.split()
    flags = [_is_match(word, stems) for word in words]
    for at in range(len(words) - 1):  # `XID 79` is one code in two words
        if words[at][0].isalpha() and normalise(f"{words[at]} {words[at + 1]}") in stems:
            flags[at] = flags[at + 1] = True
    first = next((at for at, flag in enumerate(flags) if flag), 0)
    start = max(0, first - WORDS_BEFORE) if first > WORDS_BEFORE else 0
    shown = [
        f"<mark>{escape(word)}</mark>" if flag else str(escape(word))
        for word, flag in zip(
            words[start : start + WORDS_SHOWN], flags[start : start + WORDS_SHOWN], strict=True
        )
    ]
    before = "… " if start else ""
    after = " …" if start + WORDS_SHOWN < len(words) else ""
    return mark_safe(before + " ".join(shown) + after)  # noqa: S308 - every word is escaped


def _is_match(word: str, stems: set[str]) -> bool:
    found = WORD.search(word)
    if found is None:
        return False
    token = found.group()
    if normalise(token) in stems:
        return True
    parts = [token, *re.split(r"[-_./]", token)] if re.search(r"[-_./]", token) else [token]
    return any(_has_stem(part.lower(), stems) for part in parts if part)


def _has_stem(word: str, stems: set[str]) -> bool:
    if word in stems:
        return True
    for length in range(max(3, len(word) - LONGEST_SUFFIX), len(word)):
        stem = word[:length]
        # Snowball writes a final y as i: batteries and battery are `batteri`.
        if stem in stems or (word[length] == "y" and f"{stem}i" in stems):
            return True
    return False
