"""Orders candidates: a cited step is a condition, the cause and physics lead, the model's vote only
tips the scale, and doing nothing is always among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from approvals.agent.causes.base import Hypothesis
from approvals.agent.support import Support, name_step
from approvals.catalogue import Action, Checked, Expectation
from approvals.prediction import predicted_fit, usable

# Assumed: prefer the smaller intervention when two would do.
RISK_WEIGHTS = {"low": 1.0, "medium": 0.97, "high": 0.8}
WEIGHT_PHYSICS, WEIGHT_SUPPORT, WEIGHT_MODEL = 0.55, 0.35, 0.10
# Share of an action's merit that follows from the cause alone where its relief can be computed.
CAUSE_SHARE = 0.4
# What a work order is worth beside an action that protects the plant until the repair: hands come in
# hours (assumed).
REPAIR_SHARE = 0.6
# What doing nothing is worth: an action has to be better (assumed).
NOTHING_SCORE = 0.30
# Doing nothing where the twin expects that the point stays on the good side by itself (assumed).
NOTHING_UNTHREATENED = 0.55
# How much later or higher an action may end than doing nothing, in the point's unit (assumed: the
# twin's own residual at a rack inlet).
WORSE_BY = 0.5
NOTHING = "none"
# Kinds that move nothing in the plant: they are weighed against nothing, not against physics.
HARMLESS = frozenset({"open_work_order"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """An action and what speaks for or against it. `label` is how the model names it.

    `fit`: how directly it helps against the causes, by their likelihoods, 0…1; `against` is the
    cause that it helps against most. `busy`: people work on what it would move; "" where not.
    `second`: the threat because of which something that protects comes before this work order.
    `cools`: cooling is what the cause takes away, so that freed heat counts.
    """

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
    fit: float = 1.0
    against: str = ""
    busy: str = ""
    second: str = ""
    cools: bool = True

    @property
    def valid(self) -> bool:
        return not self.busy and all(c.ok for c in self.checked)

    @property
    def failed(self) -> list[str]:
        """Why it may not be proposed, in sentences."""
        return [*([self.busy] if self.busy else []), *(c.detail for c in self.checked if not c.ok)]

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
    def worse(self) -> str:
        """Why the twin expects it to be worse than doing nothing; "" where it does not."""
        if self.prediction is None:
            return ""
        return worse_than_nothing(self.prediction, direction=self.expectation.direction)

    @property
    def merit(self) -> float:
        """How much it helps, 0…1: the cause's remedy, and the freed cooling (and the twin where it
        is fit, half each) where relief can be computed.
        """
        if self.second:
            return self.fit * REPAIR_SHARE
        if self.expectation.relief_w <= 0 or not self.cools:
            return self.fit
        relief = self.physics if self.predicted is None else (self.physics + self.predicted) / 2
        return self.fit * (CAUSE_SHARE + (1 - CAUSE_SHARE) * relief)

    @property
    def score(self) -> float:
        """0…1.

        Zero when a precondition fails, no procedure step instructs it, no cause asks for it, or the
        twin expects it to be worse than doing nothing, whatever the model says.
        """
        if not self.valid or not self.supported or self.fit <= 0 or self.worse:
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
            "failed": self.failed,
            "relief_w": round(self.expectation.relief_w),
            "against": self.against,
            "fit": round(self.fit, 3),
            "physics": round(self.physics, 3),
            "predicted": None if self.predicted is None else round(self.predicted, 3),
            "prediction": (self.prediction or {}).get("sentence", ""),
            "worse_than_nothing": self.worse,
            "second_because": self.second,
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


def ranked(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Best first; ties go to the lower label, so that a record can be replayed."""
    return sorted(candidates, key=lambda c: (-c.score, len(c.label), c.label))


def fit_of(kind: str, target: str, causes: Sequence[Hypothesis]) -> tuple[float, Hypothesis | None]:
    """How directly an action helps against the causes (0…1), and the cause that it helps most.

    Weighed by the likelihoods among the causes that are known; where an instrument leads, only
    what does not touch the plant is left.
    """
    if not causes:
        return 0.0, None
    if causes[0].of_instrument and kind not in HARMLESS:
        return 0.0, None
    total = sum(c.likelihood for c in causes)
    shares = [(c.likelihood / total * c.helps(kind, target), c) for c in causes]
    share, best = max(shares, key=lambda one: one[0])
    return min(1.0, sum(share for share, _ in shares)), best if share > 0 else None


def worse_than_nothing(prediction: Mapping[str, Any], *, direction: str) -> str:
    """Why a usable prediction says that acting ends worse than doing nothing; else ""."""
    if not usable(prediction):
        return ""
    if prediction.get("added") and not prediction.get("avoided"):
        first = prediction["added"][0]
        return f"it would raise {first['rule']} on {first['point']}, which doing nothing does not"
    worst = max if direction == "below" else min
    acting, nothing = (worst(prediction[name]["p50"]) for name in ("acting", "nothing"))
    if (acting - nothing) * (1 if direction == "below" else -1) > WORSE_BY:
        return f"{prediction['tag']} would reach {acting:.1f} instead of {nothing:.1f}"
    return ""


def nothing_row(candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Doing nothing as one row of the ranking, with what the twin expects of it.

    It is worth more where the twin is fit and expects the point of the best candidate to stay on
    its good side without any action.
    """
    asked = next((c for c in ranked(candidates) if usable(c.prediction)), None)
    score, sentence = NOTHING_SCORE, ""
    if asked is not None and asked.prediction is not None:
        line = asked.prediction["nothing"]["p50"]
        limit, below = asked.expectation.threshold, asked.expectation.direction == "below"
        unthreatened = max(line) < limit if below else min(line) > limit
        score = NOTHING_UNTHREATENED if unthreatened else NOTHING_SCORE
        sentence = (
            f"{asked.prediction['tag']} ends at {line[-1]:.1f}, worst "
            f"{max(line) if below else min(line):.1f} (limit {limit:g})"
        )
    return {
        "label": NOTHING,
        "action": "Do nothing",
        "prediction": sentence,
        "score": round(score, 3),
    }


def beats_nothing(candidate: Candidate, nothing: Mapping[str, Any]) -> bool:
    """Whether a candidate is worth more than doing nothing. What moves nothing in the plant only
    has to be worth more than silence."""
    bar = NOTHING_SCORE if candidate.action.kind in HARMLESS else float(nothing["score"])
    return candidate.score > bar
