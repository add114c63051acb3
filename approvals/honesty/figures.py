"""How decisions were made in the last weeks: the team's figures, and each person's.

Meant for the people themselves. Below five of anything nothing is said: a share of three is noise.
Drills are counted apart and change no other figure. Three queries, whatever the number of people.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt
from statistics import median, quantiles
from typing import Final

from django.db.models import OuterRef, Subquery
from django.utils import timezone

from approvals.models import (
    Decision,
    Drill,
    EffectVerdict,
    ProposalLook,
    ProposalTransition,
    Verdict,
)
from approvals.states import ProposalState

S = ProposalState

DAYS: Final = 30
LEAST: Final = 5
"""Fewer than this are not summed up (assumed)."""
QUICK_S: Final = 10.0
"""An approval sooner than this after the card came up cannot have been read (assumed: 200 words a
minute are 30 words)."""
Z: Final = 1.96
TOLD: Final = (S.VERIFIED, S.NO_EFFECT, S.ROLLED_BACK)


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `of`, with Wilson's 95 % interval (Wilson 1927); all fractions None below `LEAST`."""

    count: int
    of: int
    share: float | None
    low: float | None
    high: float | None

    @property
    def percent(self) -> str:
        return "" if self.share is None else f"{100 * self.share:.0f} %"

    @property
    def range(self) -> str:
        if self.low is None or self.high is None:
            return ""
        return f"{100 * self.low:.0f} to {100 * self.high:.0f} %"


@dataclass(frozen=True, slots=True)
class Times:
    """Median and quartiles of decision times, s; None below `LEAST`."""

    count: int
    median_s: float | None
    low_s: float | None
    high_s: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """What is said of a person or, with name "", of the team.

    `decision_s`: from when the person first saw the card (else from when it was put up) to the
    verdict. `unopened`: approvals without opening any of the evidence. `quick`: approvals within
    `QUICK_S`. `went_wrong`: of the approved that were executed and told, those without effect, or
    rolled back without having worked. `drills`: of the drills that they decided, those they caught.
    """

    name: str
    decided: int
    decision_s: Times
    approved: Share
    unopened: Share
    quick: Share
    went_wrong: Share
    drills: Share


@dataclass(frozen=True, slots=True)
class Made:
    """One decision, as the figures need it."""

    name: str
    approve: bool
    seconds: float
    opened: bool
    state: str
    is_drill: bool


def team_figures(*, days: int = DAYS, now: datetime | None = None) -> tuple[Figures, list[Figures]]:
    """The team's figures and each person's, by name. Three queries."""
    now = now or timezone.now()
    made = decisions_since(now - timedelta(days=days))
    by_name: dict[str, list[Made]] = defaultdict(list)
    for one in made:
        by_name[one.name].append(one)
    return figures_of("", made), [figures_of(name, by_name[name]) for name in sorted(by_name)]


def decisions_since(since: datetime) -> list[Made]:
    """Every decision since then. An unrevealed drill counts as nothing yet: it would be told by its
    absence of an effect."""
    put_up = (
        ProposalTransition.objects.filter(
            proposal=OuterRef("proposal"), round=OuterRef("round"), to_state=S.PENDING
        )
        .order_by("-id")
        .values("at")[:1]
    )
    seen = ProposalLook.objects.filter(proposal=OuterRef("proposal"), user=OuterRef("user")).values(
        "seen_at"
    )[:1]
    hidden = Drill.objects.filter(revealed_at__isnull=True).values("proposal_id")
    rows = (
        Decision.objects.filter(at__gte=since)
        .exclude(proposal_id__in=hidden)
        .annotate(put_up=Subquery(put_up), seen=Subquery(seen))
        .order_by("at")
        .values_list(
            "user__username", "verdict", "at", "opened_s", "put_up", "seen",
            "proposal__state", "proposal__is_drill", "proposal__created_at",
            "proposal__effect__verdict",
        )
    )  # fmt: skip
    found = []
    for name, verdict, at, opened_s, put_up_at, seen_at, state, is_drill, created_at, told in rows:
        came = put_up_at or created_at
        start = seen_at if seen_at is not None and seen_at > came else came
        found.append(
            Made(
                name,
                verdict == Verdict.APPROVE,
                max((at - start).total_seconds(), 0.0),
                opened_s is not None,
                # Undone after it had worked is no sign that it should not have been signed.
                S.VERIFIED.value if told == EffectVerdict.VERIFIED else state,
                is_drill,
            )
        )
    return found


def figures_of(name: str, made: Sequence[Made]) -> Figures:
    """Sum up decisions."""
    real = [one for one in made if not one.is_drill]
    approved = [one for one in real if one.approve]
    told = [one for one in approved if one.state in TOLD]
    drills = [one for one in made if one.is_drill]
    return Figures(
        name=name,
        decided=len(real),
        decision_s=times_of(one.seconds for one in real),
        approved=share_of(len(approved), len(real)),
        unopened=share_of(sum(not one.opened for one in approved), len(approved)),
        quick=share_of(sum(one.seconds < QUICK_S for one in approved), len(approved)),
        went_wrong=share_of(sum(one.state != S.VERIFIED for one in told), len(told)),
        drills=share_of(sum(not one.approve for one in drills), len(drills)),
    )


def share_of(count: int, of: int) -> Share:
    """A share with its interval, or the bare numbers where they are too few."""
    if of < LEAST:
        return Share(count, of, None, None, None)
    p, n = count / of, of
    middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return Share(count, of, p, max(middle - half, 0.0), min(middle + half, 1.0))


def times_of(seconds: Iterable[float]) -> Times:
    """Median and quartiles, or the bare number where they are too few."""
    rows = sorted(seconds)
    if len(rows) < LEAST:
        return Times(len(rows), None, None, None)
    low, _, high = quantiles(rows, n=4, method="inclusive")
    return Times(len(rows), median(rows), low, high)


def drills_revealed(*, days: int = DAYS, now: datetime | None = None) -> list[Drill]:
    """Revealed drills, newest first, with their proposals."""
    since = (now or timezone.now()) - timedelta(days=days)
    return list(
        Drill.objects.filter(revealed_at__isnull=False, planted_at__gte=since).select_related(
            "proposal"
        )[:50]
    )
