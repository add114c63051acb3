"""Loading a facility file: YAML → rows with line numbers → checks → one transaction."""

from __future__ import annotations

from pathlib import Path

from .apply import LoadReport, apply
from .checks import check
from .document import read_document
from .problems import FacilityFileError, Problem, Problems

__all__ = ["FacilityFileError", "LoadReport", "Problem", "load_facility"]


def load_facility(*, path: Path, prune: bool = False) -> LoadReport:
    """Make the database agree with the facility file at ``path``.

    Nothing that the file does not name is deleted, unless ``prune``; then assets, points (with
    their readings), links and rules of the site that are not in the file go too. Raises
    ``FacilityFileError`` with every problem found, and then nothing has changed: first the rows
    that cannot be read, and when all can be read, the contradictions between them.
    """
    problems = Problems()
    facility = read_document(path, problems)
    problems.raise_if_any()
    check(facility, problems)
    problems.raise_if_any()
    return apply(facility, problems, prune=prune)
