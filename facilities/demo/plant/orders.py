"""Work orders, as a maintenance system (CMMS) takes them: a number, once per key, and a log."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from facilities.demo.plant.journal import Journal

PRIORITIES = ("low", "medium", "high")
MAX_TITLE_CHARS = 200
MAX_TEXT_CHARS = 10_000


@dataclass(frozen=True)
class WorkOrder:
    """One work order for an asset; ``due`` is an ISO time or None."""

    ts: str
    number: str
    asset: str
    title: str
    text: str
    priority: str
    due: str | None
    key: str
    fence: int | None = None

    @property
    def wanted(self) -> tuple[str, str, str, str, str | None]:
        """What was asked for: the same key may not ask for something else."""
        return (self.asset, self.title, self.text, self.priority, self.due)


class OrderLog(Journal[WorkOrder]):
    """Work orders in order and by key; survives a restart."""

    def __init__(self, path: Path) -> None:
        self._fences: dict[str, int] = {}
        super().__init__(path, of=WorkOrder)

    @property
    def next_number(self) -> str:
        return f"WO-{len(self._entries) + 1:04d}"

    def fence(self, asset: str) -> int:
        """The newest fence that opened one for an asset; -1 where none did."""
        return self._fences.get(asset, -1)

    def _remember(self, entry: WorkOrder) -> None:
        super()._remember(entry)
        if entry.fence is not None:
            self._fences[entry.asset] = max(entry.fence, self.fence(entry.asset))


def order_problem(body: dict[str, Any]) -> str:
    """What is wrong with the body of a work order, or nothing."""
    for name, most in (("asset", 200), ("title", MAX_TITLE_CHARS)):
        value = body.get(name)
        if not isinstance(value, str) or not 0 < len(value.strip()) <= most:
            return f"{name} is {value!r}, not a text of 1 to {most} characters"
    text = body.get("text", "")
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARS:
        return f"text is not a text of at most {MAX_TEXT_CHARS} characters"
    if body.get("priority", "medium") not in PRIORITIES:
        return f"priority is {body['priority']!r}, not one of {', '.join(PRIORITIES)}"
    due = body.get("due")
    try:
        if due is not None:
            datetime.fromisoformat(due)
    except (TypeError, ValueError):
        return f"due is {due!r}, not a time such as 2026-03-02T16:00:00Z"
    return ""
