"""Comparing sensors that measure the same: disagreement, and drift of one against a reference.

Groups are declared (``RedundancyGroup``), or follow from names: quantities of one asset and unit
that differ by a number or a letter only (``supply_1_c``, ``supply_2_c``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from facilities.quality.verdict import FAIL, GOOD, MISSING, SUSPECT, UNKNOWN, Finding, Verdict

TOLERANCE_STEPS: Final = 5.0
"""Allowed difference of two sensors in steps of the coarser precision; assumed."""
TOLERANCE_SPAN: Final = 0.01
"""... or as a share of the span, whichever is larger; assumed (1 % of span is a common accuracy
class of transmitters)."""
FAIL_TOLERANCES: Final = 3.0
"""Tolerances beyond which a sensor fails when the others outvote it; assumed."""
CUSUM_SLACK: Final = 0.5
"""k of the CUSUM in standard deviations: tuned to a shift of one (Page 1954, Montgomery's k)."""
CUSUM_LIMIT: Final = 8.0
"""h of the CUSUM in standard deviations; Montgomery's usual 4 to 5, doubled because neighbouring
runs share readings; assumed."""
BASELINE_RUNS: Final = 10
"""Runs that learn the usual difference before drift is judged; assumed."""

_NUMBER = re.compile(r"_(?:\d+|[a-d])(?=_|$)")


@dataclass(frozen=True, slots=True)
class Member:
    """One sensor of a group. ``span`` and ``precision`` in the unit, NaN when not declared."""

    point_id: int
    tag: str
    unit: str
    precision: float
    span: float
    tolerance: float


@dataclass(frozen=True, slots=True)
class Group:
    """Sensors of the same thing; ``reference`` is the id of the trusted one."""

    name: str
    members: tuple[Member, ...]
    reference: int | None = None
    tolerance: float | None = None

    def allowed(self) -> float:
        """Difference that is still agreement, in the unit; 0 when nothing is declared at all."""
        if self.tolerance is not None:
            return self.tolerance
        own = [member.tolerance for member in self.members if member.tolerance > 0]
        if own:
            return max(own)
        steps = [TOLERANCE_STEPS * m.precision for m in self.members if m.precision > 0]
        spans = [TOLERANCE_SPAN * m.span for m in self.members if np.isfinite(m.span)]
        return max([*steps, *spans], default=0.0)


def groups_by_name(facts: Iterable[tuple[int, int, str, str]]) -> list[list[int]]:
    """Ids that belong together, from (point id, asset id, unit, quantity) of measured points."""
    found: dict[tuple[int, str, str], list[int]] = defaultdict(list)
    for point_id, asset_id, unit, quantity in facts:
        stem = _NUMBER.sub("", quantity)
        if stem != quantity:
            found[asset_id, unit, stem].append(point_id)
    return [sorted(ids) for ids in found.values() if len(ids) > 1]


def compare(group: Group, verdicts: dict[int, Verdict]) -> None:
    """Add *redundancy* and *drift* findings to the verdicts of the group's living sensors."""
    living = [
        member
        for member in group.members
        if member.point_id in verdicts
        and verdicts[member.point_id].level is not None
        and verdicts[member.point_id].findings["gap"].flag != MISSING
    ]
    if len(living) < 2:
        for member in living:
            verdicts[member.point_id].findings["redundancy"] = Finding(
                UNKNOWN, f"No other sensor of {group.name} is alive."
            )
        return
    levels = np.array([verdicts[member.point_id].level for member in living], np.float64)
    _disagreement(group, living, levels, verdicts)
    _drift(group, living, levels, verdicts)


def _disagreement(
    group: Group, living: Sequence[Member], levels: Any, verdicts: dict[int, Verdict]
) -> None:
    allowed = group.allowed()
    for at, member in enumerate(living):
        others = np.delete(levels, at)
        middle = float(np.median(others))
        apart = abs(float(levels[at]) - middle)
        names = ", ".join(other.tag for other in living if other is not member)
        said = (
            f"{levels[at]:.6g} {member.unit} against {middle:.6g} of {names}: {apart:.3g} apart, "
            f"{allowed:.3g} allowed."
        )
        flag = GOOD
        if apart > allowed:
            # Of two, nobody knows which is wrong; of three, the one that is alone.
            outvoted = len(living) > 2 and float(np.ptp(others)) <= allowed
            trusted = member.point_id == group.reference
            if len(living) == 2 or outvoted:
                flag = GOOD if trusted else SUSPECT
                sure = outvoted or group.reference is not None
                if sure and not trusted and apart > FAIL_TOLERANCES * allowed:
                    flag = FAIL
            elif float(np.ptp(levels)) > allowed and not _has_majority(levels, allowed):
                flag = GOOD if trusted else SUSPECT
        verdicts[member.point_id].findings["redundancy"] = Finding(flag, said)


def _has_majority(levels: Any, allowed: float) -> bool:
    """Whether more than half of the sensors agree with one another."""
    middle = float(np.median(levels))
    return bool((np.abs(levels - middle) <= allowed).sum() * 2 > len(levels))


def _drift(
    group: Group, living: Sequence[Member], levels: Any, verdicts: dict[int, Verdict]
) -> None:
    """CUSUM of each sensor's difference to its reference, around what is usual for it."""
    at_reference = [n for n, m in enumerate(living) if m.point_id == group.reference]
    for at, member in enumerate(living):
        verdict = verdicts[member.point_id]
        if at in at_reference:
            verdict.findings["drift"] = Finding(GOOD, f"Is the reference of {group.name}.")
            continue
        reference = (
            float(levels[at_reference[0]])
            if at_reference
            else float(np.median(np.delete(levels, at)))
        )
        sigma = member.precision if member.precision > 0 else group.allowed() / 10
        if not sigma > 0:
            continue
        verdict.findings["drift"] = _cusum(
            verdict.memory, float(levels[at]) - reference, sigma, member.unit
        )


def _cusum(memory: dict[str, Any], difference: float, sigma: float, unit: str) -> Finding:
    """One step; ``memory`` keeps the usual difference, both sums and the number of runs."""
    runs = int(memory.get("drift_runs", 0))
    usual = float(memory.get("drift_usual", difference))
    if runs < BASELINE_RUNS:
        memory["drift_usual"] = usual + (difference - usual) / (runs + 1)
        memory["drift_runs"] = runs + 1
        return Finding(UNKNOWN, f"{runs + 1} of {BASELINE_RUNS} runs seen to know what is usual.")
    shift = (difference - usual) / sigma
    # A sum that has said drift needs no more; capping it lets a repaired sensor recover.
    up = min(max(0.0, float(memory.get("drift_up", 0.0)) + shift - CUSUM_SLACK), 2 * CUSUM_LIMIT)
    down = min(
        max(0.0, float(memory.get("drift_down", 0.0)) - shift - CUSUM_SLACK), 2 * CUSUM_LIMIT
    )
    memory["drift_up"], memory["drift_down"] = up, down
    said = (
        f"Differs by {difference:+.3g} {unit}, usually {usual:+.3g}; sum {max(up, down):.1f} of "
        f"{CUSUM_LIMIT:g}."
    )
    return Finding(SUSPECT if max(up, down) > CUSUM_LIMIT else GOOD, said)
