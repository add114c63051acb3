"""Where the agent's answers come from: the live systems once, and the record ever after.

All that an investigation learns from outside goes through `ask`. A live world calls the tool, keeps
its answer as JSON and hands out that JSON; a recorded world hands out the kept answers in the same
order. What the agent makes of them is a pure function, so that the same answers give the same
conclusion.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from approvals.agent.timeline import Step, Timeline
from approvals.canonical import iso_utc

Answer = dict[str, Any]
Show = Callable[[Answer], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Budget:
    """How much one investigation may ask: tool calls and seconds (assumed: the slowest part, a
    model on a busy host, takes half a minute).
    """

    steps: int = 40
    seconds: float = 120.0


class DivergedError(Exception):
    """The agent asked a record something else than it asked the world: its code has changed."""


class World(ABC):
    """What an investigation can ask, and the time it takes as now."""

    def __init__(self, timeline: Timeline, now: datetime) -> None:
        self.timeline = timeline
        self.now = now
        self.stopped = ""

    @abstractmethod
    def ask(
        self,
        tool: str,
        title: str,
        *,
        given: Mapping[str, Any],
        live: Callable[[], Answer],
        default: Answer,
        show: Show | None = None,
    ) -> Answer:
        """The answer of one tool as JSON values, recorded as one step of the timeline.

        `live` does the work; `show` makes of the answer what the timeline prints (default: all of
        it). A key `problem` in the answer marks the step as not available. `default` is the answer
        where the budget is spent.
        """

    @contextmanager
    def think(self, step: str, title: str, **given: Any) -> Iterator[Step]:
        """A step that asks nobody: it is a function of what was answered before."""
        with self.timeline.step(step, title, **given) as made:
            yield made


class LiveWorld(World):
    """The systems as they are, within a budget."""

    def __init__(self, timeline: Timeline, *, budget: Budget | None = None) -> None:
        super().__init__(timeline, timezone.now())
        self.answers: list[dict[str, Any]] = []
        self._budget = budget or Budget()
        self._began = time.monotonic()

    def ask(
        self,
        tool: str,
        title: str,
        *,
        given: Mapping[str, Any],
        live: Callable[[], Answer],
        default: Answer,
        show: Show | None = None,
    ) -> Answer:
        with self.timeline.step(tool, title, **given) as step:
            self.stopped = self.stopped or self._spent()
            answer = default if self.stopped else live()
            answer = _as_json(answer)
            self.answers.append(
                {
                    "tool": tool,
                    "given": _as_json(dict(given)),
                    "answer": answer,
                    "stopped": self.stopped,
                }
            )
            step.output = show(answer) if show and not self.stopped else dict(answer)
            if self.stopped:
                step.ok, step.output = False, {**step.output, "skipped": self.stopped}
            elif answer.get("problem"):
                step.ok = False
        return answer

    def _spent(self) -> str:
        if len(self.answers) >= self._budget.steps:
            return f"the budget of {self._budget.steps} steps is spent"
        if time.monotonic() - self._began > self._budget.seconds:
            return f"the budget of {self._budget.seconds:g} s is spent"
        return ""

    def record(self) -> dict[str, Any]:
        """All that was answered, for `RecordedWorld`."""
        return {"now": iso_utc(self.now), "answers": self.answers}


class RecordedWorld(World):
    """The answers of a record, in order. Asks nobody and reads no clock for its conclusions."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        now = datetime.fromisoformat(str(record["now"]).replace("Z", "+00:00")).astimezone(UTC)
        super().__init__(Timeline(), now)
        self._left = list(record["answers"])

    def ask(
        self,
        tool: str,
        title: str,
        *,
        given: Mapping[str, Any],
        live: Callable[[], Answer],
        default: Answer,
        show: Show | None = None,
    ) -> Answer:
        wanted = _as_json(dict(given))
        if not self._left:
            raise DivergedError(f"the record ends before {tool} is asked {_short(wanted)}")
        kept = self._left.pop(0)
        if (kept["tool"], kept["given"]) != (tool, wanted):
            raise DivergedError(
                f"the record has {kept['tool']} {_short(kept['given'])} where the agent now asks "
                f"{tool} {_short(wanted)}"
            )
        self.stopped = kept.get("stopped", "")
        answer: Answer = kept["answer"]
        with self.timeline.step(tool, title, **given) as step:
            step.output = show(answer) if show and not self.stopped else dict(answer)
        return answer

    @property
    def left(self) -> list[str]:
        """Tools whose answers nobody asked for."""
        return [kept["tool"] for kept in self._left]


def _as_json(value: Any) -> Any:
    """The value as it comes back from the database: tuples are lists, keys are strings."""
    return json.loads(json.dumps(value, ensure_ascii=False))


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= 160 else text[:159] + "…"
