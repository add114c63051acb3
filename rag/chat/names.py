"""Equipment in a question: which assets and kinds of the inventory its words mean.

`CRAC 2`, `crac-02`, `cooling unit 2` and `the second chiller` never mean anything but an asset of
the inventory; what could mean several, and what looks like a name and is none, is told.
"""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from facilities.selectors import AssetName, Inventory

MAX_ASSETS = 6
MAX_SUGGESTIONS = 5
_RUN = re.compile(r"[a-z]+|\d+", re.IGNORECASE)
_JOINT = re.compile(r"[\s\-_./]{0,2}|\s#\s?")

#: What people call a kind; plural by an s.
KIND_WORDS: dict[str, tuple[str, ...]] = {
    "rack": ("rack", "cabinet"),
    "crac": ("crac", "crah", "cooling unit", "air conditioner", "ac unit", "air handler"),
    "chiller": ("chiller",),
    "pump": ("pump", "chilled water pump", "water pump"),
    "cdu": ("cdu", "coolant distribution unit"),
    "tower": ("cooling tower", "tower"),
    "weather": ("weather station",),
    "ups": ("ups", "uninterruptible power supply"),
    "pdu": ("pdu", "power distribution unit"),
    "generator": ("generator", "genset", "diesel"),
    "utility": ("utility feed", "utility", "mains", "grid feed"),
    "server": ("server", "node", "compute node"),
    "gpu": ("gpu", "accelerator"),
    "leaf": ("leaf switch", "leaf"),
    "spine": ("spine switch", "spine"),
    "link": ("network link", "link"),
    "storage": ("storage system", "storage"),
    "job": ("job", "training job", "training"),
    "leak_detector": ("leak detector", "leak sensor"),
    "fire_panel": ("fire panel", "fire detector"),
    "hall": ("hall", "data hall", "server room", "white space"),
}


class Ambiguous(NamedTuple):
    """Words that could mean several assets."""

    said: str
    tags: tuple[str, ...]


class Unknown(NamedTuple):
    """Words that look like equipment and name none; `near` are tags that come close."""

    said: str
    near: tuple[str, ...]


@dataclass(frozen=True)
class Mentions:
    """What of the inventory a question names. `rest` is the question without those words."""

    assets: tuple["AssetName", ...] = ()
    kinds: tuple[str, ...] = ()
    plural: frozenset[str] = frozenset()
    ambiguous: tuple[Ambiguous, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    rest: str = ""

    @property
    def tags(self) -> list[str]:
        """Tags of the assets."""
        return [asset.tag for asset in self.assets]


class _Run(NamedTuple):
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class _Index:
    names: dict[str, tuple[str, ...]]
    heads: dict[str, str]
    longest: int


def mentions_of(question: str, inventory: "Inventory") -> Mentions:
    """Find the equipment that a question names. Longest names first; nothing is guessed."""
    index = _index(_Key(inventory))
    runs = [_Run(m.group().lower(), m.start(), m.end()) for m in _RUN.finditer(question)]
    taken = [False] * len(runs)
    found: list[tuple[int, str, tuple[str, ...]]] = []
    for length in range(min(index.longest, len(runs)), 0, -1):
        for at in range(len(runs) - length + 1):
            piece = runs[at : at + length]
            if any(taken[at : at + length]) or not _joined(question, piece):
                continue
            tags = index.names.get(_key(run.text for run in piece))
            if tags and _is_name(question, piece):
                found.append((at, question[piece[0].start : piece[-1].end], tags))
                taken[at : at + length] = [True] * length
    found.sort()
    sure, unsure = _settled(found, inventory)
    unknown = _unknown(question, runs, taken, index, inventory)
    rest = "".join(
        char
        if not any(t and r.start <= n < r.end for r, t in zip(runs, taken, strict=True))
        else " "
        for n, char in enumerate(question)
    )
    kinds, plural = _kinds(rest, inventory)
    return Mentions(
        tuple(inventory.assets[tag] for tag in sure[:MAX_ASSETS]),
        kinds, plural, tuple(unsure), tuple(unknown), rest,
    )  # fmt: skip


def _settled(
    found: list[tuple[int, str, tuple[str, ...]]], inventory: "Inventory"
) -> tuple[list[str], list[Ambiguous]]:
    """Assets that are meant for sure; `GPU 3 of srv-05` is settled by its server."""
    sure = list(dict.fromkeys(tags[0] for _, _, tags in found if len(tags) == 1))
    unsure: list[Ambiguous] = []
    holders = set(sure)
    for _, said, tags in found:
        if len(tags) == 1:
            continue
        inside = [
            tag for tag in tags
            if holders & {inventory.assets[tag].parent, inventory.assets[tag].rack}
        ]  # fmt: skip
        if len(inside) == 1:
            sure.append(inside[0])
            holder = inventory.assets[inside[0]]
            sure = [tag for tag in sure if tag not in {holder.parent, holder.rack}]
        else:
            unsure.append(Ambiguous(said, tuple((inside or list(tags))[:MAX_SUGGESTIONS])))
    return sure, unsure


def _unknown(
    question: str, runs: list[_Run], taken: list[bool], index: _Index, inventory: "Inventory"
) -> list[Unknown]:
    """`CRAC-9` where there are four: a known head followed by a number that nothing has."""
    found = []
    for at in range(len(runs) - 1):
        head, tail = runs[at], runs[at + 1]
        if taken[at] or taken[at + 1] or not tail.text.isdigit() or len(tail.text) > 4:
            continue
        kind = index.heads.get(head.text)
        between = question[head.end : tail.start]
        if kind is None or not re.fullmatch(r"[\s\-_]?", between):
            continue
        if re.match(r"\s*(?:°|%|[.,]\d|k?w\b|degrees)", question[tail.end :], re.IGNORECASE):
            continue
        near = tuple(asset.tag for asset in inventory.of_kind(kind))[:MAX_SUGGESTIONS]
        found.append(Unknown(question[head.start : tail.end], near))
    return found


def _kinds(rest: str, inventory: "Inventory") -> tuple[tuple[str, ...], frozenset[str]]:
    """Kinds named in words (`racks`, `the generator`), in order; those in the plural apart."""
    present = {asset.kind for asset in inventory.assets.values()}
    at: dict[str, int] = {}
    plural = set()
    low = rest.lower()
    for kind in present:
        for word in KIND_WORDS.get(kind, ()):
            match = re.search(rf"(?<![\w-]){re.escape(word)}(s|es)?(?![\w])", low)
            if match:
                at[kind] = min(at.get(kind, match.start()), match.start())
                if match[1]:
                    plural.add(kind)
    return tuple(sorted(at, key=lambda kind: at[kind])), frozenset(plural)


def _is_name(question: str, piece: list[_Run]) -> bool:
    """`UPS A` is a name, `ups a` in a sentence need not be: a lone letter wants a capital or a
    hyphen before it."""
    last = piece[-1]
    if len(piece) == 1:
        return True
    if len(last.text) == 1 and last.text.isalpha():
        between = question[piece[-2].end : last.start]
        return question[last.start].isupper() or between in ("-", "_")
    return not re.match(r"[.,]\d|\s?%|\s?°", question[last.end :])


def _joined(question: str, piece: list[_Run]) -> bool:
    pairs = itertools.pairwise(piece)
    return all(_JOINT.fullmatch(question[a.end : b.start]) for a, b in pairs)


def _key(runs: Iterable[str]) -> str:
    return "-".join(run.lstrip("0") or "0" if run.isdigit() else run for run in runs)


def _runs(text: str) -> list[str]:
    return _RUN.findall(text.lower())


class _Key:
    """Makes an inventory a key of the cache by identity: a changed one is another object."""

    def __init__(self, inventory: "Inventory") -> None:
        self.inventory = inventory

    def __hash__(self) -> int:
        return id(self.inventory)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.inventory is self.inventory


@lru_cache(maxsize=2)
def _index(key: _Key) -> _Index:
    """Every spelling of every asset, as runs joined by hyphens."""
    names: dict[str, set[str]] = defaultdict(set)
    heads: dict[str, str] = {}
    exact: dict[str, str] = {}
    for asset in key.inventory.assets.values():
        tag = _runs(asset.tag)
        exact[_key(tag)] = asset.tag
        spellings = [tag]
        if len(_runs(asset.name)) > 1:
            spellings.append(_runs(asset.name))
        tail = tag[-1:]
        place = tag[1:] if asset.kind == "rack" else tail
        for word in KIND_WORDS.get(asset.kind, ()):
            if place and (place[-1].isdigit() or len(place[-1]) == 1 or len(tag) == 2):
                spellings.append([*_runs(word), *place])
            if " " not in word:
                heads.setdefault(word, asset.kind)
        if tag and not tag[0].isdigit():
            heads.setdefault(tag[0], asset.kind)
        for spelling in spellings:
            names[_key(spelling)].add(asset.tag)
    settled = {
        name: (exact[name],) if name in exact else tuple(sorted(tags))
        for name, tags in names.items()
    }
    longest = max((name.count("-") + 1 for name in settled), default=0)
    return _Index(settled, heads, min(longest, 10))
