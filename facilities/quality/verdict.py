"""What the slow tests say of one point: a flag and a sentence for each test, and the scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from facilities.models.reading import Quality

GOOD, UNKNOWN = int(Quality.GOOD), int(Quality.UNKNOWN)
SUSPECT, FAIL, MISSING = int(Quality.SUSPECT), int(Quality.FAIL), int(Quality.MISSING)

STANDING: Final = ("flat_line", "attenuated", "redundancy", "drift")
"""Tests whose verdict is about the value itself, so that new readings carry it."""

_RANK = {UNKNOWN: 0, GOOD: 1, SUSPECT: 2, FAIL: 3, MISSING: 4}


class Finding(NamedTuple):
    """One test's flag and why, in a sentence."""

    flag: int
    detail: str


def worst(flags: list[int]) -> int:
    """QARTOD's roll-up: unknown < good < suspect < fail; missing hides the rest."""
    return max(flags, key=_RANK.__getitem__, default=UNKNOWN)


@dataclass(slots=True)
class Scores:
    """Shares from 0 to 1; None where nothing could be measured."""

    completeness: float | None = None
    timeliness: float | None = None
    validity: float | None = None
    precision: float | None = None

    @property
    def overall(self) -> float | None:
        """Mean of what was measured."""
        known = [
            part
            for part in (self.completeness, self.timeliness, self.validity, self.precision)
            if part is not None
        ]
        return sum(known) / len(known) if known else None


@dataclass(slots=True)
class Verdict:
    """Everything a run finds about one point; times µs since 1970 UTC."""

    point_id: int
    findings: dict[str, Finding] = field(default_factory=dict)
    scores: Scores = field(default_factory=Scores)
    readings: int = 0
    expected: float | None = None
    flagged: int = 0
    interval_s: float | None = None
    delay_s: float | None = None
    source_id: int = 0
    last_us: int | None = None
    level: float | None = None
    """Median of the last moments, for the comparison with other sensors."""
    run_us: int | None = None
    longest_run_s: float = 0.0
    changes: int = 0
    memory: dict[str, Any] = field(default_factory=dict)

    @property
    def flag(self) -> int:
        """The point's flag: the worst of its tests."""
        return worst([finding.flag for finding in self.findings.values()])

    @property
    def standing(self) -> int:
        """What new readings carry at least."""
        flags = [self.findings[name].flag for name in STANDING if name in self.findings]
        return max([GOOD, *(flag for flag in flags if flag in (SUSPECT, FAIL))])
