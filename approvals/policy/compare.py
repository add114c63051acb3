"""Two policies side by side: what changed, in words, and where the new one asks for less."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from approvals.policy.classes import Example, examples
from approvals.policy.default import DOCUMENT
from approvals.policy.document import Policy
from approvals.policy.evaluate import requirement_under
from approvals.policy.matching import Match
from approvals.policy.requirement import STRICTEST, Subject
from approvals.policy.words import limit_words, requirement_words

LIMIT_NAMES = (
    "per_hour", "per_target_per_hour", "open_at_once", "max_racks", "max_gpus", "max_it_kw",
)  # fmt: skip
NO_LIMIT = float("inf")


def changes_between(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What is different between two documents, one sentence per rule and part. The order of rules
    means nothing and is no change.
    """
    before = {rule["name"]: rule for rule in old["rules"]}
    after = {rule["name"]: rule for rule in new["rules"]}
    found = [
        f"rule “{name}” removed ({rule_words(before[name])})" for name in before.keys() - after
    ]
    found += [f"rule “{name}” added: {rule_words(after[name])}" for name in after.keys() - before]
    for name in before.keys() & after.keys():
        if parts := _changed_parts(before[name], after[name]):
            found.append(f"rule “{name}”: {'; '.join(parts)}")
    for part in ("break_glass", "drills", "cool_down_s", "changes"):
        found += [
            f"{part.replace('_', ' ')}: {text}"
            for text in _changed_fields(
                {**DOCUMENT[part], **old.get(part, {})}, {**DOCUMENT[part], **new.get(part, {})}
            )
        ]
    return sorted(found)


def rule_words(rule: Mapping[str, Any]) -> str:
    """A rule as a sentence: `high risk: two signatures from two different roles, a reason`."""
    what = []
    if rule.get("deny"):
        what.append("forbids it")
    if rule.get("require"):
        what.append(requirement_words(rule["require"]))
    if rule.get("limits"):
        what.append(limit_words(rule["limits"]))
    return f"{Match.from_dict(rule.get('match', {})).words}: {'; '.join(what)}"


def _changed_parts(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    found = []
    for part in ("require", "limits"):
        found += _changed_fields(old.get(part, {}), new.get(part, {}))
    if old.get("match", {}) != new.get("match", {}):
        was, now = (Match.from_dict(rule.get("match", {})).words for rule in (old, new))
        found.append(f"applies to {now} (was: {was})")
    flat = ("deny", "reason")
    found += _changed_fields(
        {k: old[k] for k in flat if k in old}, {k: new[k] for k in flat if k in new}
    )
    return found


def _changed_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    names = [*old, *(name for name in new if name not in old)]
    return [
        f"{name.replace('_', ' ')} {_said(old.get(name))} → {_said(new.get(name))}"
        for name in names
        if old.get(name) != new.get(name)
    ]


def _said(value: Any) -> str:
    if value is None:
        return "not said"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


class Weaker(NamedTuple):
    """Something of which the new policy asks for less. `example` is a subject it concerns."""

    what: str
    example: str


def weakens(old: Policy, new: Policy, now: datetime) -> list[Weaker]:
    """Where `new` lets through what `old` held up, asks for less or forgets a safeguard; [] when it
    is nowhere weaker (one query).

    Compared over one example of every class of subjects and of times that the rules of both tell
    apart.
    """
    found: dict[str, Weaker] = {}

    def note(what: str, example: str) -> None:
        found.setdefault(what, Weaker(what, example))

    for example in examples((old, new), now):
        for at in example.times:
            _compare_at(old, new, example.subject, at, note)
    for what in _global_weaker(old, new):
        note(what, "every action")
    return list(found.values())


def _compare_at(
    old: Policy, new: Policy, subject: Subject, at: datetime, note: Callable[[str, str], None]
) -> None:
    name = f"{subject.kind.replace('_', ' ')} on {subject.target}"
    was, now = (requirement_under(policy=p, subject=subject, at=at) for p in (old, new))
    for field, strictest in STRICTEST.items():
        before, after = getattr(was, field), getattr(now, field)
        if before != after and strictest([before, after]) == before:
            note(f"{field.replace('_', ' ')} {_said(before)} → {_said(after)}", name)
    if _denied(old, subject, at) and not _denied(new, subject, at):
        note("no longer forbidden", name)
    for field in LIMIT_NAMES:
        before, after = _limit(old, subject, at, field), _limit(new, subject, at, field)
        if after > before:
            said = "no limit" if after == NO_LIMIT else f"{after:g}"
            note(f"{field.replace('_', ' ')} {before:g} → {said}", name)
    before, after = (p.cool_down_s(subject.kind, -1) for p in (old, new))
    if before >= 0 and after < before:
        note(
            f"cool-down of {subject.kind} {before:g} s → {_said(after if after >= 0 else None)}",
            name,
        )


def _denied(policy: Policy, subject: Subject, at: datetime) -> bool:
    return any(rule.deny and rule.match.fits(subject, at) for rule in policy.rules)


def _limit(policy: Policy, subject: Subject, at: datetime, field: str) -> float:
    values = [
        r.limits[field] for r in policy.rules if field in r.limits and r.match.fits(subject, at)
    ]
    return min(values, default=NO_LIMIT)


def _global_weaker(old: Policy, new: Policy) -> list[str]:
    was, now = old.break_glass, new.break_glass
    found = []
    if now.enabled and not was.enabled:
        found.append("break-glass is possible")
    if now.enabled and now.reviews < was.reviews:
        found.append(f"reviews of a break-glass {was.reviews} → {now.reviews}")
    if now.enabled and now.review_within_h > was.review_within_h:
        found.append(
            f"break-glass reviewed within {was.review_within_h:g} h → {now.review_within_h:g} h"
        )
    if old.second_person and not new.second_person:
        found.append("one person alone may weaken the policy")
    return found


def always_denied(policy: Policy, found: Sequence[Example]) -> bool:
    """Whether nothing at all could ever be signed."""
    return bool(found) and all(
        _denied(policy, example.subject, at) for example in found for at in example.times
    )
