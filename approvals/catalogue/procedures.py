"""A written procedure as steps that can be carried out: what its text sets, what it verifies, where
it holds. Pure text in, data out.

Only plain orders are taken: ``Set `chwp-2.run_cmd` to 1`` in a step that depends on nothing, and
verifications of one point against one figure. Whatever else a step says is for people: the
procedure then waits until a person says that it is done. Reading too little costs a click; reading
too much would move a plant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

_TAG: Final = r"`(?P<tag>[a-z0-9][a-z0-9-]*\.[a-z0-9_]+)`"
_NUMBER: Final = r"(?P<value>-?\d+(?:\.\d+)?)(?!\w|\.\d)"
_UNIT: Final = r"(?:\s*(?P<unit>°C|%|L/s|k?Pa|[kM]?W|V|A|s|K|MHz|m[ΩO]h?m?|rpm)(?!\w))?"
_ORDER: Final = re.compile(rf"{_TAG}\s+(?:back\s+)?to\s+{_NUMBER}{_UNIT}")
_CLAUSE: Final = re.compile(
    rf"(?P<no>\bno\s+)?{_TAG}\s*(?:(?:is|are|stays?|remains?|rises?|falls?|reads?|shows?)\s+)?"
    rf"(?:back\s+)?(?:to\s+)?"
    rf"(?:(?P<sign>=|above|below|under|over|at\s+least|at\s+most)\s*)?"
    rf"{_NUMBER}{_UNIT}(?:\s*±\s*(?P<spread>\d+(?:\.\d+)?))?",
)
_BETWEEN: Final = re.compile(
    rf"{_TAG}\s+(?:is|are|stays?)\s+between\s+(?P<low>\d+(?:\.\d+)?)\s+and\s+{_NUMBER}{_UNIT}"
)
_WITHIN: Final = re.compile(
    r"\b(?:within|after)\s+(?P<n>\d+|one|two|three|four|five|ten)\s+"
    r"(?P<unit>seconds?|minutes?|s|min)\b",
    re.IGNORECASE,
)
_WORDS: Final = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "ten": 10}
_CONDITIONAL: Final = re.compile(
    r"^\W*(?:only\b|when\b|if\b|once\b|unless\b|where\b|should\b|in case\b)", re.IGNORECASE
)
_DEPENDS: Final = re.compile(
    r"\b(?:if|when|unless|otherwise|do not|don't|never|or|for example|e\.g\.)\b", re.IGNORECASE
)
_CHOICE: Final = re.compile(
    r"\b(?:or|when|if|unless|one of|before|until|otherwise|about|alarm is|expected)\b",
    re.IGNORECASE,
)
# What a person does with hands, eyes or a telephone beside an order of the same step.
_BY_HAND: Final = re.compile(
    r"\b(?:lock|tag (?:the|out)|remove|press|choose|tell|call|ask|go to|isolate|hand over|close"
    r"|open|clean|replace|check|announce|write)\b",
    re.IGNORECASE,
)
_LABEL: Final = re.compile(
    r"^\W*(?P<label>verify|hold point|warning|caution|note|expected)\W*?[:.][*\s]*", re.IGNORECASE
)
_SIGNATURE: Final = re.compile(
    r"\b(?:sign\w*|supervisor\w*|permit|second person|confirm\w*|agree\w*)\b", re.IGNORECASE
)
_SIGNS: Final = {
    "above": ">", "over": ">", "at least": ">=", "below": "<", "under": "<", "at most": "<=",
    "=": "==",
}  # fmt: skip
# Unit as written → UCUM unit of the point and factor.
_UNITS: Final = {
    "": ("", 1.0), "°C": ("Cel", 1.0), "%": ("%", 1.0), "L/s": ("L/s", 1.0), "Pa": ("Pa", 1.0),
    "kPa": ("Pa", 1e3), "W": ("W", 1.0), "kW": ("W", 1e3), "MW": ("W", 1e6), "V": ("V", 1.0),
    "A": ("A", 1.0), "s": ("s", 1.0), "K": ("K", 1.0), "MHz": ("MHz", 1.0),
}  # fmt: skip


class Passed(NamedTuple):
    """A piece of the procedure as the knowledge base keeps it; `section` is its own heading."""

    passage: int
    section: str
    step: int | None
    anchor: str
    text: str


class Found(NamedTuple):
    """What a text says of one point: an order (op `=`) or a condition, in the unit as written."""

    tag: str
    op: str
    value: float
    unit: str = ""

    def in_unit(self, unit: str) -> float | None:
        """The value in the point's UCUM unit; None where the text uses another one."""
        wanted, factor = _UNITS.get(self.unit, (None, 1.0))
        return self.value * factor if wanted in ("", unit) else None


@dataclass(frozen=True, slots=True)
class Step:
    """One numbered step. `orders` are set in this order, `confirm` must hold within `wait_s`.

    `hold` stands before the orders: "" none, `operator` (a person does or judges something),
    `second_person` (somebody else must release it). `blind`: its verification says more than
    `confirm` can hold, so that a person has to look before the next step.
    """

    n: int
    title: str
    text: str
    orders: tuple[Found, ...]
    confirm: tuple[Found, ...]
    wait_s: float
    hold: str
    blind: bool
    passage: int
    anchor: str


@dataclass(frozen=True, slots=True)
class Procedure:
    """A procedure in force: its revision, the steps, and what its prerequisites demand of points.

    `sha256` is that of the revision's file: the signature binds to it.
    """

    document: str
    title: str
    kind: str
    revision: int
    risk: str
    sha256: str
    url: str
    steps: tuple[Step, ...]
    prerequisites: tuple[Found, ...] = ()

    @property
    def orders(self) -> tuple[Found, ...]:
        """Everything that it sets, in order."""
        return tuple(order for step in self.steps for order in step.orders)

    @property
    def assets(self) -> tuple[str, ...]:
        """The assets that it moves, each once, in order."""
        return tuple(dict.fromkeys(order.tag.rpartition(".")[0] for order in self.orders))


def steps_read(passages: Sequence[Passed]) -> tuple[Step, ...]:
    """The numbered steps; one may be cut over several passages."""
    pieces: dict[int, list[Passed]] = {}
    for piece in passages:
        if piece.step is not None:
            pieces.setdefault(piece.step, []).append(piece)
    return tuple(step_read(n, found) for n, found in sorted(pieces.items()))


def step_read(n: int, pieces: Sequence[Passed]) -> Step:
    """One step from its passages."""
    first = pieces[0]
    text = "\n\n".join(piece.text.strip() for piece in pieces)
    title = re.sub(r"^\W*step\s+\d+\W*", "", first.section, flags=re.IGNORECASE).strip()
    parts = _parts(text)
    body, verify = " ".join(parts["body"]), " ".join(parts["verify"])
    orders = tuple(_orders(body))
    if len({order.tag for order in orders}) < len(orders):
        orders = ()  # off and on again: how long between is for a person to judge
    confirm, blind = _verified(verify) if orders else ((), False)
    if parts["hold point"]:
        hold = "second_person" if _SIGNATURE.search(" ".join(parts["hold point"])) else "operator"
    else:
        hold = "" if orders and not _BY_HAND.search(body) else "operator"
    return Step(
        n, title or f"Step {n}", text, orders, confirm, _wait_s(verify), hold, blind,
        first.passage, first.anchor,
    )  # fmt: skip


def prerequisites_read(passages: Sequence[Passed]) -> tuple[Found, ...]:
    """What the prerequisites demand of points, from sentences that leave no choice."""
    demands: list[Found] = []
    for piece in passages:
        if piece.step is None and piece.section.lower().startswith("prerequisite"):
            for line in piece.text.splitlines():
                if not _CHOICE.search(line):
                    demands += _clauses(line)
    return tuple(dict.fromkeys(demands))


def _parts(text: str) -> dict[str, list[str]]:
    """The paragraphs by what they are: body, verify, hold point; warnings and notes are neither."""
    found: dict[str, list[str]] = {"body": [], "verify": [], "hold point": []}
    for paragraph in re.split(r"\n\s*\n|\n(?=\W*[A-Z][a-z]+(?: point)?\W*:)", text):
        label = _LABEL.match(paragraph)
        if label is None:
            found["body"].append(paragraph.strip())
        elif (name := label["label"].lower()) in found:
            found[name].append(paragraph[label.end() :].strip())
    return found


def _orders(body: str) -> Iterable[Found]:
    """Orders of the sentences that tell to set something and depend on nothing."""
    if _CONDITIONAL.match(body):
        return
    for sentence in re.split(r"(?<=[.;:])\s+", body):
        if _DEPENDS.search(sentence) or not re.search(r"\bset\b", sentence, re.IGNORECASE):
            continue
        for match in _ORDER.finditer(sentence):
            yield Found(match["tag"], "=", float(match["value"]), match["unit"] or "")


def _verified(verify: str) -> tuple[tuple[Found, ...], bool]:
    """The conditions of a verification, and whether it says more than they do."""
    found: list[Found] = []
    blind = not verify
    for sentence in re.split(r"(?<=[.;])\s+", verify):
        if _CHOICE.search(sentence):
            blind = True
            continue
        clauses = _clauses(sentence)
        found += clauses
        if {tag.strip("`") for tag in re.findall(r"`[^`]+`", sentence)} - {f.tag for f in clauses}:
            blind = True
    return tuple(dict.fromkeys(found)), blind or not found


def _clauses(text: str) -> list[Found]:
    """`tag = 1`, `tag is above 10 L/s`, `tag is 12 L/s ± 0.5 L/s`, `tag is between 7 and 8`."""
    found: list[Found] = []
    for match in _BETWEEN.finditer(text):
        unit = match["unit"] or ""
        found.append(Found(match["tag"], ">=", float(match["low"]), unit))
        found.append(Found(match["tag"], "<=", float(match["value"]), unit))
    for match in _CLAUSE.finditer(text):
        if match["no"]:
            continue
        sign = re.sub(r"\s+", " ", (match["sign"] or "").lower())
        value, unit = float(match["value"]), match["unit"] or ""
        if match["spread"]:
            spread = float(match["spread"])
            found.append(Found(match["tag"], ">=", value - spread, unit))
            found.append(Found(match["tag"], "<=", value + spread, unit))
        elif sign:
            found.append(Found(match["tag"], _SIGNS[sign], value, unit))
    return found


def _wait_s(verify: str) -> float:
    """The longest time that the verification allows, s; 0 where it names none."""
    longest = 0.0
    for match in _WITHIN.finditer(verify):
        number = _WORDS.get(match["n"].lower()) or float(match["n"])
        longest = max(longest, number * (60 if match["unit"].lower().startswith("m") else 1))
    return longest


def steps_as_dicts(procedure: Procedure, units: Mapping[str, str]) -> list[dict[str, Any]]:
    """The steps as a proposal stores them. `units`: UCUM unit of each point that has a reading.

    A verification that names a point without a reading, or in another unit, is left to a person:
    the next step then holds.
    """
    made: list[dict[str, Any]] = []
    looks = ""
    for step in procedure.steps:
        confirm = []
        blind = step.blind
        for found in step.confirm:
            value = found.in_unit(units[found.tag]) if found.tag in units else None
            if value is None:
                blind = True
                continue
            why = f"{procedure.document.upper()} step {step.n} verifies it"
            confirm.append({"tag": found.tag, "op": found.op, "value": value, "why": why})
        made.append(
            {
                "n": step.n,
                "title": step.title,
                "text": step.text,
                "writes": [
                    {"tag": order.tag, "value": order.in_unit(units.get(order.tag, order.unit))}
                    for order in step.orders
                ],
                "confirm": confirm,
                "wait_s": step.wait_s,
                "hold": step.hold or ("operator" if looks else ""),
                "hold_why": looks,
                "cite": {
                    "document": procedure.document,
                    "title": procedure.title,
                    "kind": procedure.kind,
                    "revision": procedure.revision,
                    "sha256": procedure.sha256,
                    "section": step.title,
                    "step": str(step.n),
                    "passage": step.passage,
                    "url": f"{procedure.url}#{step.anchor}",
                },
            }
        )
        looks = f"verify step {step.n} with your own eyes" if step.orders and blind else ""
    return made
