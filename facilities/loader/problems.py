"""Problems of a facility file, collected so that one run names all of them."""

from __future__ import annotations

from typing import NamedTuple


class Problem(NamedTuple):
    """What is wrong, and on which line (1-based; 0 when no line applies)."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}" if self.line else self.text


class FacilityFileError(Exception):
    """The facility file cannot be loaded. ``problems`` is sorted by line."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Problems:
    """A list of problems under construction."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, line: int, text: str) -> None:
        """Note a problem."""
        self.found.append(Problem(line, text))

    def raise_if_any(self) -> None:
        """Raise ``FacilityFileError`` when something was noted."""
        if self.found:
            raise FacilityFileError(self.found)
