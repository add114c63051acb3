"""Outcomes kept as they come, one JSON line each, so that a run that was stopped goes on."""

from __future__ import annotations

import json
from pathlib import Path

from approvals.evaluation.measure import Outcome


class Kept:
    """The outcomes in a file by (name of the pass, name of the case); none without a file.

    A last line that was cut off by a kill is left out; one of another version as well, and its case
    runs again.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._found: dict[tuple[str, str], Outcome] = {}
        if path is None or not path.exists():
            return
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
                self._found[row["pass"], row["case"]] = Outcome.from_dict(row["outcome"])
            except (ValueError, KeyError, TypeError):
                continue

    def get(self, name: str, case: str) -> Outcome | None:
        """The outcome of a case in a pass, if it was kept."""
        return self._found.get((name, case))

    def add(self, name: str, outcome: Outcome) -> None:
        """Keep one; on disk when this returns."""
        self._found[name, outcome.case] = outcome
        if self._path is None:
            return
        row = {"pass": name, "case": outcome.case, "outcome": outcome.as_dict()}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps(row, ensure_ascii=False)}")
