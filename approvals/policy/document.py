"""A policy document as typed rules, and the one in force."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from approvals.canonical import canonical_json
from approvals.policy.default import DOCUMENT
from approvals.policy.matching import Match

SHIPPED_NUMBER = 1


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: `require` holds only what it says something about (fields of Requirement)."""

    name: str
    match: Match
    require: Mapping[str, Any]
    limits: Mapping[str, float]
    deny: bool
    reason: str


class BreakGlassTerms(NamedTuple):
    """Whether one person may sign alone in an emergency, and who has to look at it afterwards."""

    enabled: bool
    reviews: int
    review_within_h: float


class DrillTerms(NamedTuple):
    """Whether known-bad proposals are planted, and how many a week on average."""

    enabled: bool
    per_week: float


@dataclass(frozen=True, slots=True)
class Policy:
    """One version of the policy. `second_person`: a change that weakens it needs another's yes."""

    number: int
    rules: tuple[Rule, ...]
    break_glass: BreakGlassTerms
    drills: DrillTerms
    cool_downs_s: Mapping[str, float]
    second_person: bool

    def cool_down_s(self, kind: str, default: float) -> float:
        """How long a target rests after an action of this kind: the policy's word, else the
        catalogue's.
        """
        return float(self.cool_downs_s.get(kind, default))


def policy_of(document: Mapping[str, Any], number: int) -> Policy:
    """A document of the right form (`schema.py`) as typed rules; what it leaves out is as shipped,
    except the rules.
    """

    def part(name: str) -> dict[str, Any]:
        return {**DOCUMENT[name], **document.get(name, {})}

    return Policy(
        number=number,
        rules=tuple(
            Rule(
                name=rule["name"],
                match=Match.from_dict(rule.get("match", {})),
                require=dict(rule.get("require", {})),
                limits=dict(rule.get("limits", {})),
                deny=bool(rule.get("deny", False)),
                reason=rule.get("reason", ""),
            )
            for rule in document["rules"]
        ),
        break_glass=BreakGlassTerms(**part("break_glass")),
        drills=DrillTerms(**part("drills")),
        cool_downs_s=dict(document.get("cool_down_s", {})),
        second_person=bool(part("changes")["second_person"]),
    )


@lru_cache(maxsize=8)
def _parsed(text: str, number: int) -> Policy:
    return policy_of(json.loads(text), number)


class InForce(NamedTuple):
    """The newest version's number and document."""

    number: int
    document: dict[str, Any]


def in_force() -> InForce:
    """The newest version (one query). A database without any has the shipped one."""
    from approvals.models import PolicyVersion

    newest = PolicyVersion.objects.order_by("-number").values_list("number", "document").first()
    return InForce(*newest) if newest else InForce(SHIPPED_NUMBER, DOCUMENT)


def policy_now() -> Policy:
    """The policy in force (one query; parsed once per version)."""
    number, document = in_force()
    return _parsed(canonical_json(document), number)
