"""What a finder hands back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Finder = Callable[..., "Findings"]


@dataclass(frozen=True)
class Found:
    """One gap met. `key` (at most 200 characters) identifies it within its kind; `seen_at` is when
    it last happened: a closed gap that happens again afterwards is opened again.
    """

    key: str
    title: str
    seen_at: datetime
    detail: dict[str, Any] = field(default_factory=dict)
    owner: str = ""
    count: int = 1
    subject_id: int | None = None
    collection_id: int | None = None


@dataclass(frozen=True)
class Findings:
    """All gaps of a kind at this moment.

    `is_complete`: what is not among them is no gap any more and is closed; `settled` names the
    document that did it, by key. Where it is False (questions), only a check closes.
    """

    kind: str
    found: list[Found]
    is_complete: bool = True
    settled: dict[str, int] = field(default_factory=dict)
