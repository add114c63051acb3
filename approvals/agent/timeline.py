"""Records what the agent did, step by step, so that a person can check it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from approvals.canonical import iso_utc


@dataclass(slots=True)
class Step:
    """One step under way: fill `output`; `ok = False` marks a part that was not available."""

    input: dict[str, Any]
    output: dict[str, Any] = field(default_factory=dict)
    ok: bool = True


class Timeline:
    """An ordered list of steps as stored in `Investigation.timeline`."""

    def __init__(self, *, earlier: list[dict[str, Any]] | None = None, attempt: int = 1) -> None:
        self.steps = list(earlier or [])
        self._attempt = attempt

    @contextmanager
    def step(self, name: str, title: str, **given: Any) -> Iterator[Step]:
        """Time a step and append it when it ends, also when it raises (then with the error as its
        output).
        """
        step = Step(input=given)
        started_at, clock = iso_utc(timezone.now()), time.perf_counter()
        try:
            yield step
        except Exception as error:
            step.ok = False
            step.output = {**step.output, "error": f"{type(error).__name__}: {error}"}
            raise
        finally:
            self.steps.append(
                {
                    "step": name,
                    "title": title,
                    "attempt": self._attempt,
                    "started_at": started_at,
                    "ms": round((time.perf_counter() - clock) * 1000, 1),
                    "ok": step.ok,
                    "input": step.input,
                    "output": step.output,
                }
            )
