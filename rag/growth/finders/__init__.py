"""What looks for gaps, one file per kind of gap; each answers `Findings`.

A new one is one file beside these with a function `find(*, now)`, added to `FINDERS`.
"""

from rag.growth.finders import alarms, feedback, flagged, imports, questions, reviews
from rag.growth.finders.found import Finder, Findings, Found

#: In the order of the page's tabs.
FINDERS: tuple[Finder, ...] = (
    questions.find,
    alarms.find,
    reviews.find,
    imports.find,
    flagged.find,
    feedback.find,
)

__all__ = ["FINDERS", "Finder", "Findings", "Found"]
