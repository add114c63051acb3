"""What an evaluation run came to: one outcome per case, and the figures over all of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from approvals.agent.calibration import Bin, binned

ORDER, ORDER_SAYS = "open_work_order", "Open work order"


@dataclass(frozen=True, slots=True)
class Proposed:
    """One proposal of a case, and whether the plant itself says that it harms. ``alternatives``:
    what else was on the card.
    """

    kind: str
    target: str
    title: str
    harmful: bool
    reasons: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case. `named` is the asset of the leading hypothesis of what was proposed (else of the
    first look); times in seconds, plant time since the first alarm and computing time. `replayed`:
    records whose conclusion was drawn again; `diverged`: what came out otherwise.
    """

    case: str
    group: str
    healthy: bool
    with_model: bool
    alarm_s: float | None
    looks: int
    named: str
    likelihood: float
    right_asset: bool
    right_class: bool
    proposed: tuple[Proposed, ...]
    plant_s: float | None
    wall_s: float
    conclusion: str
    problem: str = ""
    replayed: int = 0
    diverged: tuple[str, ...] = ()

    @property
    def harmful(self) -> bool:
        return any(p.harmful for p in self.proposed)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "harmful": self.harmful}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Outcome:
        """The outcome that `as_dict` made. Raises TypeError for another version's."""
        kept = {name: value for name, value in stored.items() if name != "harmful"}
        proposed = tuple(
            Proposed(
                kind=str(one["kind"]),
                target=str(one["target"]),
                title=str(one["title"]),
                harmful=bool(one["harmful"]),
                reasons=tuple(one["reasons"]),
                alternatives=tuple(one["alternatives"]),
            )
            for one in kept.pop("proposed")
        )
        return cls(proposed=proposed, **{**kept, "diverged": tuple(kept.get("diverged", ()))})


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts over the fault cases, and false proposals over the healthy ones."""

    faults: int
    right_asset: int
    right_class: int
    harmful: int
    proposals: int
    healthy: int
    false: int
    failed: int
    silent: int = 0
    acting: int = 0
    acting_with_order: int = 0
    replayed: int = 0
    diverged: int = 0
    plant_s: tuple[float, float] = (0.0, 0.0)
    wall_s: tuple[float, float] = (0.0, 0.0)
    groups: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def figures_of(outcomes: Sequence[Outcome]) -> Figures:
    """Sum up one pass. Times are median and worst over the cases that ended in a proposal."""
    faults = [o for o in outcomes if not o.healthy]
    healthy = [o for o in outcomes if o.healthy]
    answered = [o for o in faults if o.proposed]
    groups: dict[str, tuple[int, int, int]] = {}
    for o in faults:
        assets, classes, cases = groups.get(o.group, (0, 0, 0))
        groups[o.group] = (assets + o.right_asset, classes + o.right_class, cases + 1)
    return Figures(
        faults=len(faults),
        right_asset=sum(o.right_asset for o in faults),
        right_class=sum(o.right_class for o in faults),
        harmful=sum(p.harmful for o in outcomes for p in o.proposed),
        proposals=sum(len(o.proposed) for o in outcomes),
        healthy=len(healthy),
        false=sum(bool(o.proposed) for o in healthy),
        failed=sum(bool(o.problem) for o in outcomes),
        silent=sum(not o.proposed for o in faults),
        acting=sum(any(p.kind != ORDER for p in o.proposed) for o in faults),
        acting_with_order=sum(any(_ordered(p) for p in o.proposed) for o in faults),
        replayed=sum(o.replayed for o in outcomes),
        diverged=sum(len(o.diverged) for o in outcomes),
        plant_s=_spread([o.plant_s for o in answered if o.plant_s is not None]),
        wall_s=_spread([o.wall_s for o in answered]),
        groups=groups,
    )


def _ordered(proposed: Proposed) -> bool:
    """Whether a change of the plant has the work order for the repair beside it."""
    return proposed.kind != ORDER and any(ORDER_SAYS in other for other in proposed.alternatives)


def calibration_of(outcomes: Sequence[Outcome]) -> list[Bin]:
    """How often the named asset was right, by the likelihood that the agent gave it."""
    return binned((o.likelihood, o.right_asset) for o in outcomes if not o.healthy and o.named)


def _spread(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return (0.0, 0.0)
    return (round(statistics.median(values), 1), round(max(values), 1))


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """One line per case, in the order they ran."""
    lines = [f"{'case':34} {'asset':5} {'class':5} {'harm':4} {'plant':>6} {'wall':>6}  proposed"]
    for o in outcomes:
        what = "; ".join(f"{p.kind} {p.target}" for p in o.proposed) or f"- ({o.conclusion[:70]})"
        plant = "" if o.plant_s is None else f"{o.plant_s:.0f}"
        harm = "HARM" if o.harmful else ""
        lines.append(
            f"{o.case[:34]:34} {_mark(o.right_asset, o.healthy):5} "
            f"{_mark(o.right_class, False):5} {harm:4} {plant:>6} {o.wall_s:6.1f}  "
            f"{o.problem or what}"
        )
    return lines


def _mark(right: bool, skip: bool) -> str:
    return "" if skip else ("yes" if right else "NO")


def summary(figures: Figures) -> list[str]:
    """The figures in sentences."""

    def share(count: int, of: int) -> str:
        return f"{count} of {of} ({100 * count / of:.0f} %)" if of else "none"

    lines = [
        f"right asset: {share(figures.right_asset, figures.faults)}",
        f"right action class: {share(figures.right_class, figures.faults)}",
        f"harmful proposals: {figures.harmful} of {figures.proposals}",
        f"false proposals on healthy runs: {share(figures.false, figures.healthy)}",
        f"a change that protects until the repair: {share(figures.acting, figures.faults)}, with "
        f"the work order beside it {figures.acting_with_order}; nothing proposed: {figures.silent}",
        f"conclusions drawn again from their records: {figures.replayed}, "
        f"{figures.diverged} different",
        f"time to proposal: plant median {figures.plant_s[0]:g} s, worst {figures.plant_s[1]:g} s "
        f"after the first alarm; computing median {figures.wall_s[0]:g} s, worst "
        f"{figures.wall_s[1]:g} s",
    ]
    if figures.failed:
        lines.append(f"cases that could not be run: {figures.failed}")
    lines += [
        f"  {group}: asset {assets}/{cases}, class {classes}/{cases}"
        for group, (assets, classes, cases) in sorted(figures.groups.items())
    ]
    return lines
