"""Refuses policy documents that are malformed, that lock everybody out, or that say nothing.

Every problem says where it is and what would be right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from approvals.catalogue import KINDS
from approvals.policy.classes import Example, acted_on, examples
from approvals.policy.clock import is_zone
from approvals.policy.compare import always_denied
from approvals.policy.document import Policy, in_force, policy_of
from approvals.policy.evaluate import requirement_under
from approvals.policy.people import deciders, signers, too_few
from approvals.policy.requirement import ROLE_ORDER
from approvals.policy.schema import (
    DOCUMENT_SCHEMA,
    SIGNING_ROLES,
    WEEKLY_SCHEMA,
    WINDOW_MATCH_SCHEMA,
)
from facilities.models import Asset, Hall


class Problem(NamedTuple):
    """`where` is a path into the document; `is_error` False: may be saved, but look at it."""

    where: str
    text: str
    is_error: bool = True


def document_problems(document: Any, *, now: datetime) -> list[Problem]:
    """Everything wrong with a document; errors first."""
    found = list(_form(DOCUMENT_SCHEMA, document))
    if found:
        return found
    found = [*_rules(document["rules"]), *_kinds(document)]
    if not any(problem.is_error for problem in found):
        found += _dead_ends(policy_of(document, 0), now)
    return sorted(found, key=lambda problem: not problem.is_error)


def match_problems(match: Any, weekly: Any) -> list[Problem]:
    """What is wrong with a window's `match` and `weekly`."""
    found = [*_form(WINDOW_MATCH_SCHEMA, match, "match")]
    if weekly:
        found += _form(WEEKLY_SCHEMA, weekly, "weekly")
        if not found and not is_zone(weekly["zone"]):
            found.append(Problem("weekly.zone", _no_zone(weekly["zone"])))
    return found or list(_named(match, "match"))


def _form(schema: Mapping[str, Any], value: Any, root: str = "") -> Iterator[Problem]:
    for error in Draft202012Validator(schema).iter_errors(value):
        yield Problem(_path(root, error), _said(error))


def _path(root: str, error: ValidationError) -> str:
    path = root
    for part in error.absolute_path:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path or "document"


def _said(error: ValidationError) -> str:
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {})
        unknown = sorted(set(error.instance) - set(known))
        return f"unknown field {', '.join(unknown)}; known are {', '.join(known)}"
    return str(error.message)[:300]


def _rules(rules: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    names: set[str] = set()
    for number, rule in enumerate(rules):
        where = f"rules[{number}]"
        if rule["name"] in names:
            yield Problem(f"{where}.name", f"another rule is called “{rule['name']}” already")
        names.add(rule["name"])
        if not (rule.get("require") or rule.get("limits") or rule.get("deny")):
            yield Problem(where, f"“{rule['name']}” requires, limits and denies nothing")
        if rule.get("deny") and not rule.get("reason", "").strip():
            yield Problem(f"{where}.reason", "a denial has to say why: people will read it")
        match = rule.get("match", {})
        yield from _named(match, f"{where}.match")
        if ("from" in match) != ("to" in match):
            yield Problem(f"{where}.match", "a time of day needs both from and to")
        if "zone" in match and not is_zone(match["zone"]):
            yield Problem(f"{where}.match.zone", _no_zone(match["zone"]))
        yield from _roles(rule.get("require", {}), f"{where}.require")


def _roles(require: Mapping[str, Any], where: str) -> Iterator[Problem]:
    able = SIGNING_ROLES[SIGNING_ROLES.index(require.get("least_role", SIGNING_ROLES[0])) :]
    if require.get("distinct_roles", 0) > len(able):
        yield Problem(
            f"{where}.distinct_roles",
            f"{require['distinct_roles']} different roles at or above {able[0]} do not exist; "
            f"there is {', '.join(able)}",
        )


def _kinds(document: Mapping[str, Any]) -> Iterator[Problem]:
    for name in document.get("cool_down_s", {}):
        if name not in KINDS:
            yield Problem(f"cool_down_s.{name}", _not_in_catalogue(name))


def _named(match: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """Names that mean nothing. What is misspelt would silently not apply."""
    for name in match.get("kinds", ()):
        if name not in KINDS:
            yield Problem(f"{where}.kinds", _not_in_catalogue(name))
    assets = acted_on()
    for name in match.get("target_kinds", ()):
        if name not in assets:
            yield Problem(
                f"{where}.target_kinds",
                f"no action is on a {name!r}; they are on {', '.join(sorted(assets))}",
            )
    if match.get("halls"):
        halls = set(Hall.objects.values_list("slug", flat=True))
        for name in match["halls"]:
            if name not in halls:
                known = ", ".join(sorted(halls)) or "none"
                yield Problem(f"{where}.halls", f"there is no hall {name!r}; there is {known}")
    if match.get("targets"):
        tags = list(Asset.objects.values_list("tag", flat=True))
        for pattern in match["targets"]:
            if not any(fnmatchcase(tag, pattern) for tag in tags):
                yield Problem(f"{where}.targets", f"{pattern!r} fits no asset today", False)


def _dead_ends(policy: Policy, now: datetime) -> Iterator[Problem]:
    """Nothing may be left that nobody could ever sign."""
    found = examples((policy,), now)
    if always_denied(policy, found):
        yield Problem("rules", "every action would be forbidden at all times: nobody could work")
        return
    number, document = in_force()
    before, people = policy_of(document, number), deciders()
    told: set[str] = set()
    for example in found:
        text, is_new = _unsignable(policy, before, example, people)
        if text and text not in told:
            told.add(text)
            subject = example.subject
            what = f"{subject.kind.replace('_', ' ')} on {subject.target}: {text}"
            yield Problem("rules", what if is_new else f"{what} (so it is today)", is_new)


def _unsignable(policy: Policy, before: Policy, example: Example, people: Any) -> tuple[str, bool]:
    """Why no set of people could sign it, and whether that was different before."""
    for at in example.times:
        asked = requirement_under(policy=policy, subject=example.subject, at=at)
        above = ROLE_ORDER[ROLE_ORDER.index(asked.least_role) :]
        if asked.distinct_roles > len(above):
            return (
                f"needs {asked.distinct_roles} different roles at or above {asked.least_role}, "
                f"there is {', '.join(above)}",
                True,
            )
        risk = example.subject.risk
        if text := too_few(asked, signers(requirement=asked, people=people), risk):
            was = requirement_under(policy=before, subject=example.subject, at=at)
            return text, not too_few(was, signers(requirement=was, people=people), risk)
    return "", False


def _not_in_catalogue(name: str) -> str:
    return f"action {name!r} is not in the catalogue; known are {', '.join(sorted(KINDS))}"


def _no_zone(name: str) -> str:
    return f"{name!r} is no time zone; write it like Europe/Berlin or UTC"
