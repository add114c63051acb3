"""Orders candidates: a cited step is a condition, physics leads, the model's vote only tips the
scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from approvals.agent.support import Support, name_step
from approvals.catalogue import Action, Checked, Expectation
from approvals.prediction import predicted_fit

# Assumed: prefer the smaller intervention when two would do.
RISK_WEIGHTS = {"low": 1.0, "medium": 0.95, "high": 0.5}
WEIGHT_PHYSICS, WEIGHT_SUPPORT, WEIGHT_MODEL = 0.55, 0.35, 0.10


@dataclass(frozen=True, slots=True)
class Candidate:
    """An action and what speaks for or against it. `label` is how the model names it."""

    label: str
    action: Action
    title: str
    risk: str
    checked: tuple[Checked, ...]
    expectation: Expectation
    physics: float
    support: Support
    voted: bool = False
    prediction: Mapping[str, Any] | None = None

    @property
    def valid(self) -> bool:
        return all(c.ok for c in self.checked)

    @property
    def supported(self) -> bool:
        return self.support.citation is not None

    @property
    def predicted(self) -> float | None:
        """What the twin expects the action to take away of the threat, 0…1; None: it cannot say."""
        if self.prediction is None:
            return None
        return predicted_fit(
            self.prediction,
            threshold=self.expectation.threshold,
            direction=self.expectation.direction,
        )

    @property
    def merit(self) -> float:
        """What physics says, 0…1: the freed cooling, and the twin where it is fit, half each."""
        return self.physics if self.predicted is None else (self.physics + self.predicted) / 2

    @property
    def score(self) -> float:
        """0…1.

        Zero when a precondition fails or no procedure step instructs it, whatever the model says.
        """
        if not self.valid or not self.supported:
            return 0.0
        merit = (
            WEIGHT_PHYSICS * self.merit
            + WEIGHT_SUPPORT * self.support.score
            + WEIGHT_MODEL * self.voted
        )
        return merit * RISK_WEIGHTS[self.risk]

    def as_dict(self) -> dict[str, Any]:
        cited = self.support.citation
        return {
            "label": self.label,
            "action": self.title,
            "kind": self.action.kind,
            "target": self.action.target,
            "params": dict(self.action.params),
            "risk": self.risk,
            "preconditions_hold": self.valid,
            "failed": [c.detail for c in self.checked if not c.ok],
            "relief_w": round(self.expectation.relief_w),
            "physics": round(self.physics, 3),
            "predicted": None if self.predicted is None else round(self.predicted, 3),
            "prediction": (self.prediction or {}).get("sentence", ""),
            "support": round(self.support.score, 3),
            "step": name_step(cited),
            "model_vote": self.voted,
            "score": round(self.score, 3),
        }


def physics_fit(*, relief_w: float, needed_w: float) -> float:
    """How well the freed cooling fits what is missing: 0…1, full at a match, slightly less for
    overshoot.
    """
    ratio = relief_w / needed_w
    return ratio if ratio <= 1 else max(0.6, 1 - 0.1 * (ratio - 1))


def ranked(candidates: list[Candidate]) -> list[Candidate]:
    """Best first; ties go to the lower label, so that a record can be replayed."""
    return sorted(candidates, key=lambda c: (-c.score, len(c.label), c.label))
