"""Change freezes and maintenance windows: when they stand, and over what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from approvals.models import ChangeWindow, WindowKind
from approvals.policy.clock import Span, spoken_days, weekly_spans
from approvals.policy.matching import Match
from approvals.policy.requirement import Subject

AHEAD: Final = timedelta(weeks=8)
"""How far ahead the next opening of a window is looked for."""


@dataclass(frozen=True, slots=True)
class Window:
    """A window without its row: what the policy needs of it. Times in UTC."""

    pk: int
    name: str
    kind: str
    starts_at: datetime
    ends_at: datetime
    weekly: Mapping[str, Any]
    match: Match
    reason: str
    made_at: datetime
    cancelled_at: datetime | None

    @classmethod
    def of(cls, row: ChangeWindow) -> Window:
        return cls(
            pk=row.pk,
            name=row.name,
            kind=row.kind,
            starts_at=row.starts_at.astimezone(UTC),
            ends_at=row.ends_at.astimezone(UTC),
            weekly=row.weekly,
            match=Match.from_dict(row.match),
            reason=row.reason,
            made_at=row.made_at,
            cancelled_at=row.cancelled_at,
        )

    @property
    def is_freeze(self) -> bool:
        return self.kind == WindowKind.FREEZE

    def known_at(self, at: datetime) -> bool:
        """Whether it had been made, and not yet cancelled, at that time."""
        return self.made_at <= at and (self.cancelled_at is None or at < self.cancelled_at)

    def spans(self, after: datetime, before: datetime) -> list[Span]:
        """When it stands between two times, in order."""
        whole = Span(self.starts_at, self.ends_at)
        if not self.weekly:
            return [whole] if whole.end > after and whole.start < before else []
        found = weekly_spans(
            days=self.weekly["days"],
            start=self.weekly["from"],
            end=self.weekly["to"],
            zone=self.weekly["zone"],
            after=max(after, whole.start),
            before=min(before, whole.end),
            wide=self.is_freeze,
        )
        return [Span(max(s.start, whole.start), min(s.end, whole.end)) for s in found]

    def span_at(self, at: datetime) -> Span | None:
        """The span that holds `at`; None when it does not stand then."""
        day = timedelta(days=2)
        return next((s for s in self.spans(at - day, at + day) if s.has(at)), None)

    def next_start(self, at: datetime) -> datetime | None:
        """When it opens next after `at`; None within eight weeks."""
        return next((s.start for s in self.spans(at, at + AHEAD) if s.start > at), None)

    @property
    def when(self) -> str:
        """Its times, for people."""
        frame = f"{moment(self.starts_at)} to {moment(self.ends_at)}"
        if not self.weekly:
            return frame
        w = self.weekly
        return f"{spoken_days(w['days'])} {w['from']} to {w['to']} {w['zone']}, {frame}"


def windows_from(at: datetime) -> list[Window]:
    """Every window that is not cancelled and not over at `at` (one query)."""
    rows = ChangeWindow.objects.filter(ends_at__gt=at, cancelled_at=None).order_by("starts_at")
    return [Window.of(row) for row in rows]


def freezes_at(windows: Iterable[Window], subject: Subject, at: datetime) -> list[Window]:
    """The freezes that cover the subject at that time."""
    return [w for w in windows if w.is_freeze and w.match.covers(subject) and w.span_at(at)]


def maintenance_opens(windows: Iterable[Window], subject: Subject, at: datetime) -> datetime | None:
    """When a maintenance window lets the subject through: `at` itself inside one, else the next
    opening; None when none is planned.
    """
    mine = [w for w in windows if not w.is_freeze and w.match.covers(subject)]
    if any(w.span_at(at) for w in mine):
        return at
    return min((start for w in mine if (start := w.next_start(at))), default=None)


def moment(at: datetime) -> str:
    """`Sat 21 Nov 2026 22:05 UTC`."""
    return f"{at.astimezone(UTC):%a %-d %b %Y %H:%M} UTC"
