"""What a cause is: a suspicion about one asset with what speaks for and against it.

A rule is a function of the facts that yields suspicions; a new one is a function in the module of
its group, decorated with `rule`. Strengths are likelihood ratios (assumed; the order matters, and
`evaluate_agent` measures what comes of them).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from approvals.agent.facts import Facts

# Weight of everything that no rule knows.
SOMETHING_ELSE = 1.0
# What a cause gains when the occasion is about its own asset, or about what it leads to, and what
# it loses when it does not explain the occasion (assumed).
SAME_ASSET, EXPLAINED, UNEXPLAINED = 6.0, 3.0, 0.02


@dataclass(frozen=True)
class Hypothesis:
    """A possible cause: `text` names it, `likelihood` is its share among all.

    `remedies`: action kind, or `kind@asset`, → how directly it helps, 0…1; the best that fits an
    action counts. `refuted_by` are observations that would speak against it. `domain` is the part
    of the plant in which only one change is made at a time.
    """

    cause: str
    asset: str
    text: str
    domain: str
    likelihood: float
    evidence: tuple[str, ...]
    against: tuple[str, ...]
    remedies: Mapping[str, float]
    refuted_by: tuple[str, ...] = ()
    of_instrument: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As stored in `Investigation.hypotheses` and shown on the card."""
        return {
            "cause": self.cause,
            "asset": self.asset,
            "text": self.text,
            "likelihood": round(self.likelihood, 3),
            "evidence": list(self.evidence),
            "against": list(self.against),
            "refuted_by": list(self.refuted_by),
            "of_instrument": self.of_instrument,
        }

    def helps(self, kind: str, target: str) -> float:
        """How directly an action helps against this cause, 0…1."""
        return max(self.remedies.get(f"{kind}@{target}", 0.0), self.remedies.get(kind, 0.0))


@dataclass
class Suspicion:
    """A hypothesis in the making. `explains`: `kind.quantity` (or `kind.*`) that it leads to."""

    cause: str
    asset: str
    text: str
    domain: str
    prior: float
    explains: frozenset[str] = frozenset()
    remedies: dict[str, float] = field(default_factory=dict)
    evidence: list[str] = field(default_factory=list)
    against: list[str] = field(default_factory=list)
    refuted_by: list[str] = field(default_factory=list)
    of_instrument: bool = False
    weight: float = 1.0

    def speaks(self, holds: bool, text: str, ratio: float) -> Suspicion:
        """Add an observation if it holds: evidence where `ratio` is above 1, else against."""
        if holds:
            self.weight *= ratio
            (self.evidence if ratio > 1 else self.against).append(text)
        return self

    def refuted(self, *texts: str) -> Suspicion:
        """What would speak against it if it were seen."""
        self.refuted_by += texts
        return self

    def strength(self, facts: Facts) -> float:
        """Its weight, given what the occasion is about."""
        occasion = facts.occasion
        weight = self.prior * self.weight
        same = bool(occasion.asset) and occasion.asset == self.asset
        about = f"{occasion.asset_kind}.{occasion.quantity}"
        leads = bool({about, f"{occasion.asset_kind}.*"} & self.explains)
        if same:
            weight *= SAME_ASSET
        if leads:
            weight *= EXPLAINED
        if occasion.quantity and not same and not leads:
            weight *= UNEXPLAINED
        if occasion.of_instrument and not self.of_instrument:
            weight *= UNEXPLAINED
        return weight


Rule = Callable[[Facts], Iterator[Suspicion]]
RULES: list[Rule] = []


def rule(function: Rule) -> Rule:
    """Register a rule."""
    RULES.append(function)
    return function


def hypotheses(facts: Facts, *, most: int = 6) -> list[Hypothesis]:
    """The causes that the facts suggest, most likely first; at most `most`.

    Likelihoods are shares of all weights and of `SOMETHING_ELSE`, so they add up to less than 1.
    Ties go by name, so that a record can be replayed.
    """
    best: dict[tuple[str, str], tuple[float, Suspicion]] = {}
    for one in RULES:
        for found in one(facts):
            weight, key = found.strength(facts), (found.cause, found.asset)
            if weight > best.get(key, (0.0, found))[0]:
                best[key] = (weight, found)
    total = SOMETHING_ELSE + sum(weight for weight, _ in best.values())
    made = [
        Hypothesis(
            cause=s.cause,
            asset=s.asset,
            text=s.text,
            domain=s.domain,
            likelihood=weight / total,
            evidence=tuple(s.evidence),
            against=tuple(s.against),
            remedies=dict(s.remedies),
            refuted_by=tuple(s.refuted_by),
            of_instrument=s.of_instrument,
        )
        for weight, s in best.values()
    ]
    made.sort(key=lambda h: (-h.likelihood, h.cause, h.asset))
    return made[:most]


def said(value: float | None, unit: str = "") -> str:
    """A value in a sentence."""
    return "unknown" if value is None else f"{value:.4g}{' ' + unit if unit else ''}"
