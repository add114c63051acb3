"""A library of any size whose word statistics resemble manuals: recombined and perturbed sentences.

The sentences are those of this repository's procedures and documents. Each made-up manual draws
its sentences mostly from a few sections, renumbers the devices named in them, and replaces some
words by names from a made-up vocabulary with Zipf's frequencies, so that rare words stay rare at
every size. Texts and vectors depend on the seed only.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent.parent
KINDS = ("manual", "manual", "manual", "sop", "mop", "eop", "note")
MADE_UP_WORDS = 60_000
REPLACED_SHARE = 0.08
# Share of the passages by collection: the filters of the measurement.
SHELVES = (("half", 0.5), ("tenth", 0.1), ("hundredth", 0.01), ("thousandth", 0.001))
_SYLLABLES = (
    "ba be bo ca ce co da del dor el en fa fen ga gor ha hel im jo ka kel lan lo ma mer nor ol pa "
    "per qua ra ren sa sel sor ta tel tor ul va vel vor wa xan yor zan zel"
)
SYLLABLES = _SYLLABLES.split()


@dataclass(frozen=True)
class Sentence:
    """A sentence of a source text, and the section that it is from."""

    text: str
    section: int


@dataclass
class Manual:
    """A made-up document. `passages`: section path, text and the sentences it is made of."""

    slug: str
    title: str
    kind: str
    collection: str
    passages: list[tuple[list[str], str, list[int]]] = field(default_factory=list)


def sentences() -> tuple[list[Sentence], list[str]]:
    """Every sentence of 5 to 60 words of our documents, and the sections' headings."""
    found: list[Sentence] = []
    headings: list[str] = []
    files = [
        *sorted((ROOT / "rag/procedures").glob("*.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
    ]
    for path in [*files, ROOT / "README.md"]:
        for part in re.split(r"(?m)^#+ ", path.read_text()):
            heading, _, body = part.partition("\n")
            headings.append(re.sub(r"[`*_]", "", heading).strip()[:80] or path.stem)
            plain = re.sub(r"```.*?```|[`*_|>#]", " ", body, flags=re.DOTALL)
            for text in re.split(r"(?<=[.!?])\s+|\n\s*\n|\n- |\n\d+\. ", plain):
                words = text.split()
                if 5 <= len(words) <= 60:
                    found.append(Sentence(" ".join(words), len(headings) - 1))
    return found, headings


def made_up_words(rng: random.Random) -> list[str]:
    """Distinct words of two to four syllables."""
    words: dict[str, None] = {}
    while len(words) < MADE_UP_WORDS:
        words["".join(rng.choices(SYLLABLES, k=rng.choice((2, 3, 3, 4))))] = None
    return list(words)


def manuals(passages: int, *, seed: int = 5) -> Iterator[Manual]:
    """Manuals with `passages` passages in all: 10 to 400 each, half of them in one collection."""
    rng = random.Random(seed)
    pool, headings = sentences()
    by_section: dict[int, list[int]] = {}
    for n, sentence in enumerate(pool):
        by_section.setdefault(sentence.section, []).append(n)
    sections = list(by_section)
    words = made_up_words(rng)
    ranks = np.arange(1, MADE_UP_WORDS + 1)
    zipf: NDArray[np.float64] = np.cumsum(1 / ranks)
    zipf /= zipf[-1]
    draws = np.random.default_rng(seed)
    left = {name: round(share * passages) for name, share in SHELVES}
    left["rest"] = passages - sum(left.values())
    for shelf, wanted in left.items():
        done = 0
        number = 0
        while done < wanted:
            size = min(wanted - done, max(10, min(400, round(rng.lognormvariate(4.2, 0.8)))))
            number += 1
            name = f"{rng.choice(words)} {rng.choice('ABCDEFGHKLMNPRSTX')}{rng.randint(10, 999)}"
            topic = rng.sample(sections, min(6, len(sections)))
            title = f"{name.title()} {headings[topic[0]].lower()}"
            manual = Manual(f"{shelf}-{number}", title, rng.choice(KINDS), shelf)
            own = [words[i] for i in np.searchsorted(zipf, draws.random(40))]
            for _ in range(size):
                home = rng.choice(topic)
                chosen = [
                    rng.choice(by_section[home]) if rng.random() < 0.7 else rng.randrange(len(pool))
                    for _ in range(rng.randint(4, 9))
                ]
                text = " ".join(pool[n].text for n in chosen)
                path = [title, headings[home]]
                manual.passages.append((path, _perturbed(text, own, rng), chosen))
            done += size
            yield manual


def _perturbed(text: str, own: list[str], rng: random.Random) -> str:
    """The text with other device numbers and some words replaced by the manual's own names."""
    words = text.split()
    for n, word in enumerate(words):
        if re.search(r"[A-Za-z]-?\d", word):
            words[n] = re.sub(r"\d+", lambda _found: str(rng.randint(1, 400)), word)
        elif len(word) > 3 and rng.random() < REPLACED_SHARE:
            words[n] = rng.choice(own)
    return " ".join(words)


def vectors_of(
    chosen: list[list[int]], base: NDArray[np.float32], *, seed: int = 7, noise: float = 0.5
) -> NDArray[np.float32]:
    """Unit vectors of passages: the mean of their sentences' vectors, plus noise of its length
    times `noise`, shape (len(chosen), dimensions)."""
    rng = np.random.default_rng(seed)
    made = np.stack([base[ids].mean(axis=0) for ids in chosen])
    length = np.linalg.norm(made, axis=1, keepdims=True)
    step = rng.standard_normal(made.shape, dtype=np.float32) / np.sqrt(made.shape[1])
    made = made + noise * length * step
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), dtype=np.float32)
