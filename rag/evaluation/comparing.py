"""Two runs of the same questions beside each other: what got better, what got worse."""

from dataclasses import dataclass
from typing import Any

from rag.evaluation.measures import p_value
from rag.models import EvaluationRun

MEASURES = ("mrr", "hit_1", "hit_5", "ndcg", "recall")


@dataclass(frozen=True)
class Change:
    """One question's rank before and after; None: not among the ten."""

    query: str
    before: int | None
    after: int | None

    @property
    def gain(self) -> float:
        """The change of the reciprocal rank."""
        return _reciprocal(self.after) - _reciprocal(self.before)


@dataclass(frozen=True)
class Comparison:
    """`figures` are (measure, before, after, difference) of the first system of each run;
    `p_value` is of MRR over the questions in both, None where a run keeps totals only."""

    figures: list[tuple[str, float | None, float | None, float | None]]
    better: list[Change]
    worse: list[Change]
    same: int
    only_before: int
    only_after: int
    p_value: float | None


def runs_compare(before: EvaluationRun, after: EvaluationRun) -> Comparison:
    """What changed from one run to the other, worst first among the worse."""
    first, second = _ranks(before), _ranks(after)
    both = [query for query in first if query in second]
    changes = [Change(query, first[query], second[query]) for query in both]
    better = sorted((item for item in changes if item.gain > 0), key=lambda item: -item.gain)
    worse = sorted((item for item in changes if item.gain < 0), key=lambda item: item.gain)
    value = None
    if both:
        value = p_value(
            [_reciprocal(item.before) for item in changes],
            [_reciprocal(item.after) for item in changes],
        )
    return Comparison(
        figures=_figures(system_figures(before), system_figures(after)),
        better=better,
        worse=worse,
        same=len(both) - len(better) - len(worse),
        only_before=len(first) - len(both),
        only_after=len(second) - len(both),
        p_value=value,
    )


def first_system(run: EvaluationRun) -> str:
    """The system under test, or an empty text for a run without systems."""
    return next(iter(systems_of(run)), "")


def systems_of(run: EvaluationRun) -> list[str]:
    """The names of the rankings measured, the one under test first; JSON in the database does not
    keep the order of `figures`."""
    measured = [name for name, value in (run.figures or {}).items() if isinstance(value, dict)]
    asked = [
        system["name"]
        for system in run.setup.get("systems") or []
        if isinstance(system, dict) and system.get("name") in measured
    ]
    rest = sorted(
        set(measured) - set(asked), key=lambda name: (not name.startswith("hybrid"), name)
    )
    return [*asked, *rest]


def system_figures(run: EvaluationRun) -> dict[str, Any]:
    """The figures of the system under test; a run without systems has them at the top."""
    figures = run.figures.get(first_system(run)) if run.figures else None
    return figures if isinstance(figures, dict) else dict(run.figures or {})


def _ranks(run: EvaluationRun) -> dict[str, int | None]:
    name = first_system(run)
    return {
        row["query"]: row["ranks"].get(name)
        for row in run.rows
        if isinstance(row, dict) and "query" in row and isinstance(row.get("ranks"), dict)
    }


def _figures(
    before: dict[str, Any], after: dict[str, Any]
) -> list[tuple[str, float | None, float | None, float | None]]:
    names = [name for name in MEASURES if name in before or name in after]
    names = names or sorted(
        name for name in before.keys() & after.keys() if isinstance(before[name], int | float)
    )
    rows = []
    for name in names:
        old, new = before.get(name), after.get(name)
        change = None
        if isinstance(old, int | float) and isinstance(new, int | float):
            change = new - old
        rows.append((name, old, new, change))
    return rows


def _reciprocal(rank: int | None) -> float:
    return 1 / rank if rank else 0.0
