"""What a rule or a window is about: which subjects, at which times of the week."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Final

from approvals.policy.clock import EVERY_DAY, Span, spoken_days, weekly_spans
from approvals.policy.requirement import Subject

A_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Match:
    """All parts must fit; an empty part fits everything.

    `targets` are asset tags with * and ?. `reaches` ({racks, gpus, it_kw}) fits a blast radius of
    at least one of these sizes.
    """

    risks: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    target_kinds: tuple[str, ...] = ()
    halls: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    reaches: Mapping[str, float] = field(default_factory=dict)
    weekdays: tuple[int, ...] = ()
    start: str = ""
    end: str = ""
    zone: str = "UTC"

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Match:
        """A `match` as documents and windows store it."""
        listed = ("risks", "kinds", "targets", "target_kinds", "halls", "authors", "weekdays")
        return cls(
            **{name: tuple(stored.get(name, ())) for name in listed},
            reaches=dict(stored.get("reaches", {})),
            start=stored.get("from", ""),
            end=stored.get("to", ""),
            zone=stored.get("zone", "UTC"),
        )

    def covers(self, subject: Subject) -> bool:
        """Whether it is about this subject, whatever the time."""
        parts = (
            (self.risks, subject.risk),
            (self.kinds, subject.kind),
            (self.target_kinds, subject.target_kind),
            (self.halls, subject.hall),
            (self.authors, subject.author),
        )
        return (
            all(not wanted or actual in wanted for wanted, actual in parts)
            and (not self.targets or any(fnmatchcase(subject.target, t) for t in self.targets))
            and (not self.reaches or self._reached(subject.blast_radius))
        )

    def _reached(self, radius: Mapping[str, Any]) -> bool:
        reached = reach_of(radius)
        return any(reached[name] >= least for name, least in self.reaches.items())

    @property
    def has_times(self) -> bool:
        return bool(self.weekdays or self.start or self.end)

    def span_at(self, at: datetime) -> Span | None:
        """The span of its times that holds `at`; None outside them. Needs `has_times`."""
        spans = weekly_spans(
            days=self.weekdays or EVERY_DAY,
            start=self.start or "00:00",
            end=self.end or "00:00",
            zone=self.zone,
            after=at - A_DAY,
            before=at + A_DAY,
        )
        return next((span for span in spans if span.has(at)), None)

    def fits(self, subject: Subject, at: datetime) -> bool:
        """Whether it is about this subject at this time."""
        return self.covers(subject) and (not self.has_times or self.span_at(at) is not None)

    @property
    def words(self) -> str:
        """What it is about, for people: `high risk in hall-1, Mon–Fri 08:00 to 18:00`."""
        parts = [f"{' or '.join(self.risks)} risk"] if self.risks else []
        parts += [" or ".join(name.replace("_", " ") for name in self.kinds)] if self.kinds else []
        if self.targets:
            parts.append(f"on {' or '.join(self.targets)}")
        if self.target_kinds:
            parts.append(f"on any {' or '.join(self.target_kinds)}")
        if self.halls:
            parts.append(f"in {' or '.join(self.halls)}")
        if self.authors:
            parts.append(f"asked for by {' or '.join(AUTHOR_WORDS[a] for a in self.authors)}")
        if self.reaches:
            parts.append("reaching " + " or ".join(_reach_words(self.reaches)))
        text = " ".join(parts) or "every action"
        return f"{text}, {self.when}" if self.has_times else text

    @property
    def when(self) -> str:
        """Its times, for people."""
        hours = f" {self.start or '00:00'} to {self.end or '24:00'}"
        hours = hours if self.start or self.end else ""
        return f"{spoken_days(self.weekdays or EVERY_DAY)}{hours} {self.zone}"


AUTHOR_WORDS: Final = {
    "agent": "the agent",
    "person": "a person",
    "outside": "an outside agent",
}


def reach_of(radius: Mapping[str, Any]) -> dict[str, float]:
    """A blast radius as numbers: racks, gpus and it_kw (`approvals.blast`; missing parts: 0)."""
    racks = radius.get("racks") or ()
    return {
        "racks": float(racks if isinstance(racks, int | float) else len(racks)),
        "gpus": float(radius.get("gpus") or 0),
        "it_kw": float(radius.get("it_w") or 0) / 1000,
    }


def _reach_words(reaches: Mapping[str, float]) -> list[str]:
    names = {"racks": "racks", "gpus": "GPUs", "it_kw": "kW of IT load"}
    return [f"at least {least:g} {names[name]}" for name, least in reaches.items()]
