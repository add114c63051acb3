"""Everything that the rules of some policies can tell apart, one example of each.

Two policies are compared, and a policy is searched for dead ends, over these examples instead of
over every asset and every minute.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import product
from typing import Any, NamedTuple

from approvals.catalogue import KINDS, ActionKind
from approvals.policy.document import Policy
from approvals.policy.matching import Match
from approvals.policy.requirement import Subject
from approvals.states import Risk
from facilities.models import Asset
from facilities.models.asset import AssetKind

AUTHORS = ("agent", "person", "outside")
A_WEEK = timedelta(days=7)


class Example(NamedTuple):
    """A subject, and times that stand for all times of the week."""

    subject: Subject
    times: tuple[datetime, ...]


def examples(policies: Sequence[Policy], now: datetime) -> list[Example]:
    """One example per class of subjects (one query)."""
    matches = [rule.match for policy in policies for rule in policy.rules]
    radii = _radii(matches)
    times = _times(matches, now)
    found: dict[tuple[Any, ...], Subject] = {}
    for (tag, asset_kind, hall), author, radius in product(_assets(matches), AUTHORS, radii):
        for kind, risk in _kinds_on(asset_kind):
            subject = Subject(kind, tag, asset_kind, hall, risk, author, radius)
            covered = tuple(match.covers(subject) for match in matches)
            found.setdefault((kind, risk, *covered), subject)
    return [Example(subject, times) for subject in found.values()]


def _kinds_on(asset_kind: str) -> list[tuple[str, str]]:
    """Name and risk of what can be done to such an asset: every risk where it varies."""
    found = []
    for kind in KINDS.values():
        if kind.acts_on(asset_kind):
            varies = type(kind).risk_of is not ActionKind.risk_of
            found += [(kind.name, risk) for risk in (Risk.values if varies else (kind.risk,))]
    return found


def _assets(matches: Iterable[Match]) -> list[tuple[str, str, str]]:
    """Tag, kind and hall of one asset for each kind, hall and set of patterns it fits."""
    from fnmatch import fnmatchcase

    patterns = sorted({pattern for match in matches for pattern in match.targets})
    wanted = acted_on()
    rows = Asset.objects.filter(kind__in=wanted).order_by("tag")
    chosen: dict[tuple[Any, ...], tuple[str, str, str]] = {}
    for tag, kind, hall, rack_hall in rows.values_list(
        "tag", "kind", "hall__slug", "rack__hall__slug"
    ):
        place = hall or rack_hall or ""
        fits = tuple(fnmatchcase(tag, pattern) for pattern in patterns)
        chosen.setdefault((kind, place, fits), (tag, kind, place))
    # Kinds of which there is no asset yet are compared all the same.
    for kind in wanted - {kind for _tag, kind, _hall in chosen.values()}:
        chosen[(kind,)] = (f"{kind}-1", kind, "")
    return list(chosen.values())


def acted_on() -> set[str]:
    """The kinds of asset that some action is on."""
    kinds = KINDS.values()
    return {asset for asset in AssetKind.values if any(kind.acts_on(asset) for kind in kinds)}


def _radii(matches: Iterable[Match]) -> list[dict[str, Any]]:
    """No reach, and each threshold just reached."""
    found: list[dict[str, Any]] = [{}]
    for match in matches:
        for part, least in match.reaches.items():
            name, value = ("it_w", least * 1000) if part == "it_kw" else (part, least)
            if {name: value} not in found:
                found.append({name: value})
    return found


def _times(matches: Iterable[Match], now: datetime) -> tuple[datetime, ...]:
    """Now, and each moment of the coming week at which some rule begins or ceases to apply."""
    times = {now}
    for match in matches:
        if not match.has_times:
            continue
        at, end = now, now + A_WEEK
        while at < end:
            span = match.span_at(at)
            if span is None:
                at += timedelta(minutes=30)
                continue
            times |= {max(span.start, now), span.end}
            at = max(span.end, at + timedelta(minutes=30))
    return tuple(sorted(times))
