"""Word stems in Python: the Snowball English stemmer that PostgreSQL's `english` uses.

snowballstemmer 2.2 gives PostgreSQL 18's lexeme for 6,676 of the 6,678 words of the demo
documents. Stems are compared with stems made here, and with lexemes only to look up an IDF.
"""

import functools
import re

import snowballstemmer

_WORD = re.compile(r"[a-z0-9]+")
_stemmer = snowballstemmer.stemmer("english")

# PostgreSQL's english.stop: words that say nothing about what is asked.
_STOP_WORDS = """
a about above after again against all am an and any are as at be because been before being
below between both but by can did do does doing don down during each few for from further had
has have having he her here hers herself him himself his how i if in into is it its itself just
me more most my myself no nor not now of off on once only or other our ours ourselves out over
own s same she should so some such t than that the their theirs them themselves then there these
they this those through to too under until up very was we were what when where which while who
whom why will with you your yours yourself yourselves
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())


@functools.lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """The stem of a lower-case word. About 30 µs for a new word, 0.1 µs after that."""
    return str(_stemmer.stemWord(word))


def stems(text: str) -> list[str]:
    """The stems of a text's words in order; stop words too, for they keep distances."""
    return [stem(word) for word in _WORD.findall(text.lower())]


def content_stems(text: str) -> list[str]:
    """The stems of a text's words in order, without stop words."""
    return [stem(word) for word in _WORD.findall(text.lower()) if word not in STOP_WORDS]
