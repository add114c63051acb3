"""One look from facts to a verdict. Asks only the world it is given, so that a record replays it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from approvals.agent import explain
from approvals.agent.case import case_for
from approvals.agent.causes import Hypothesis, hypotheses
from approvals.agent.experience import past_outcomes
from approvals.agent.facts import Facts
from approvals.agent.gather import (
    read_findings,
    read_hall,
    read_moved,
    show_findings,
    show_hall,
)
from approvals.agent.occasion import Occasion
from approvals.agent.rank import HARMLESS, Candidate, nothing_row
from approvals.agent.steps import decide, enumerate_actions, find_support, predict, vote
from approvals.agent.threat import protect_first, threat_of
from approvals.agent.waiting import holds_up, read_waiting
from approvals.agent.world import World

# Sentences about what moved that join the facts: a cause and its neighbours, not the whole hall.
TOLD = 3
# A cause below this likelihood is no ground for anything (assumed).
LEAST_LIKELY = 0.3
NO_FINDINGS: dict[str, Any] = {
    "following": False, "residuals": {}, "findings": [], "doubts": {}, "unusual": {}
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """How a look ended: `best` to propose, `waiting` to attach to, or neither and why.

    `text` is a sentence for people.
    """

    text: str
    facts: Facts
    causes: Sequence[Hypothesis] = ()
    best: Candidate | None = None
    waiting: int | None = None
    sentences: Sequence[str] = ()
    experience: Sequence[dict[str, Any]] = ()
    case: Mapping[str, Any] = field(default_factory=dict)
    with_model: bool = False
    held_up: bool = False
    """The proposal it waits for is for another cause: it is looked at again when that one ends."""

    @property
    def rationale(self) -> str:
        """Why the action; "" without one."""
        if self.best is None:
            return ""
        return explain.rationale(
            self.best, list(self.sentences), self.facts.situation, next(iter(self.causes), None)
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything that a replay must find again."""
        best = self.best
        return {
            "text": self.text,
            "waiting": self.waiting,
            "held_up": self.held_up,
            "hypotheses": [cause.as_dict() for cause in self.causes],
            "action": None
            if best is None
            else {
                "kind": best.action.kind,
                "target": best.action.target,
                "params": dict(best.action.params),
                "score": round(best.score, 3),
                "citation": best.support.citation,
            },
            "rationale": self.rationale,
            "case": dict(self.case),
            "with_model": self.with_model,
        }


def look(occasion: Occasion, world: World) -> Verdict:
    """Gather, suppose, enumerate, look up, predict, vote, decide."""
    hall = world.ask(
        "gather",
        "Read the facility",
        given={"asset": occasion.asset, "point": occasion.point, "alarm": occasion.alarm},
        live=lambda: read_hall(occasion),
        default={},
        show=show_hall,
    )
    sentences = [*hall["facts"], *_moved(occasion, world)]
    watched = world.ask(
        "findings",
        "Ask the twin, the quality tests and the anomaly detector",
        given={},
        live=read_findings,
        default=NO_FINDINGS,
        show=show_findings,
    )
    facts = Facts.from_answers(occasion, hall, watched)
    causes = _suppose(facts, world)
    if not causes or causes[0].likelihood < LEAST_LIKELY:
        return Verdict(_unexplained(occasion, causes), facts, causes)
    if causes[0].of_instrument:
        sentences.append(f"{causes[0].text}: no action on the plant follows from it")
    if (work := facts.worked_on.get(causes[0].asset)) and not threat_of(facts, causes[0]):
        return Verdict(
            f"No action proposed: people work on {facts.name(causes[0].asset)} ({work}), and nothing "
            f"is lost until they are done. Most likely cause: {causes[0].text}.",
            facts,
            causes,
        )
    waiting = _waiting(causes[0], hall["hall"], world)
    if waiting and holds_up(waiting, ""):
        held = _held(waiting, facts, causes)
        if not waiting.get("order"):
            return held
        moving = _decide(occasion, world, facts, causes, hall, sentences)
        return held if moving.best is None or moving.best.action.kind in HARMLESS else moving
    return _decide(occasion, world, facts, causes, hall, sentences)


def _held(waiting: Mapping[str, Any], facts: Facts, causes: Sequence[Hypothesis]) -> Verdict:
    return Verdict(
        _attached(waiting, causes[0]),
        facts,
        causes,
        waiting=waiting["id"],
        held_up=not waiting["same"],
    )


def _decide(
    occasion: Occasion,
    world: World,
    facts: Facts,
    causes: Sequence[Hypothesis],
    hall: Mapping[str, Any],
    sentences: Sequence[str],
) -> Verdict:
    """From causes to the best action: enumerate, look up, predict, vote, rank."""
    found = enumerate_actions(facts, causes, world)
    if not found:
        return Verdict(
            f"No action proposed: nothing in the catalogue helps against {causes[0].text}.",
            facts,
            causes,
        )
    candidates = find_support(facts, causes, found, world)
    usable = [c for c in candidates if c.score > 0]
    if not usable:
        return Verdict(_why_none(candidates, causes[0], world.stopped), facts, causes)
    predicted = predict(facts, usable, world)
    usable = protect_first([c for c in predicted if c.score > 0], facts, causes)
    if not usable:
        worst = predicted[0]
        return Verdict(
            f"No action proposed: the twin expects it to be worse than doing nothing, e.g. "
            f"{worst.title}: {worst.worse}.",
            facts,
            causes,
        )
    told = [*sentences, explain.cause_sentence(causes[0])]
    voted, with_model = vote(told, usable, world)
    best = decide(voted, with_model, world)
    if best is None:
        text = "No action proposed: doing nothing is worth more than each of the possible actions."
        return Verdict(text, facts, causes, with_model=with_model)
    experience = past_outcomes(best=best, occasion=occasion, world=world)
    choice = next((s for s in world.timeline.steps if s["step"] == "ask_model"), {})
    case = case_for(
        best,
        facts=facts,
        causes=causes,
        candidates=voted,
        hall=hall,
        nothing=nothing_row(voted),
        choice=choice.get("output", {}),
        stopped=world.stopped,
    )
    without = "" if with_model else " (without model)"
    return Verdict(
        f"Proposed: {best.title}{without}.",
        facts,
        causes,
        best=best,
        sentences=sentences,
        experience=experience,
        case=case,
        with_model=with_model,
    )


def _moved(occasion: Occasion, world: World) -> list[str]:
    alarm = occasion.alarm
    if alarm is None:
        return []
    found = world.ask(
        "correlate",
        "Find what moved with it",
        given={"alarm": alarm, "point": occasion.point},
        live=lambda: read_moved(alarm),
        default={"moved": [], "error": ""},
    )
    told = [f"{match['tag']} (r {match['r']:+.2f})" for match in found["moved"][:TOLD]]
    return [f"what moved together with it: {', '.join(told)}"] if told else []


def _suppose(facts: Facts, world: World) -> list[Hypothesis]:
    with world.think("suppose", "Weigh possible causes") as step:
        causes = hypotheses(facts)
        rest = max(0.0, 1 - sum(cause.likelihood for cause in causes))
        step.output = {
            "hypotheses": [cause.as_dict() for cause in causes],
            "something_else": round(rest, 3),
        }
    return causes


def _waiting(cause: Hypothesis, hall: str, world: World) -> dict[str, Any] | None:
    given = {"hall": hall, "asset": cause.asset, "domain": cause.domain}
    answer = world.ask(
        "waiting",
        "See what already waits for a signature",
        given=given,
        live=lambda: {"proposal": read_waiting(**given)},
        default={"proposal": None},
    )
    found = answer["proposal"]
    return dict(found) if found else None


def _attached(waiting: Mapping[str, Any], cause: Hypothesis) -> str:
    return (
        f"Proposal #{waiting['id']} ({waiting['title']}) is already open "
        f"{'for this cause' if waiting['same'] else 'here'}; one change at a time, so this was "
        f"added to it as evidence. Most likely cause: {cause.text}."
    )


def _unexplained(occasion: Occasion, causes: Sequence[Hypothesis]) -> str:
    if not causes:
        return f"No action proposed: no rule explains {occasion.title}; somebody has to look."
    return (
        f"No action proposed: the most likely cause of {occasion.title} is that {causes[0].text}, "
        f"but at {100 * causes[0].likelihood:.0f} % that is no ground to act."
    )


def _why_none(candidates: Sequence[Candidate], cause: Hypothesis, stopped: str) -> str:
    early = f" The agent stopped early: {stopped}." if stopped else ""
    valid = [c for c in candidates if c.valid]
    if not valid:
        detail = candidates[0].failed[0]
        return (
            f"No action proposed against {cause.text}: no candidate's preconditions hold, e.g. "
            f"{candidates[0].title}: {detail}.{early}"
        )
    return (
        f"No action proposed: no procedure step instructs any of the {len(valid)} possible actions "
        f"(e.g. {valid[0].title}).{early}"
    )
