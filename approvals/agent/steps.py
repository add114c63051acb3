"""The agent's tools, one recorded step each: read, enumerate, look up, ask the model, decide."""

from __future__ import annotations

from dataclasses import replace
from string import ascii_uppercase

from django.utils import timezone

from approvals.agent import explain
from approvals.agent.choose import MAX_OPTIONS, NONE, choose
from approvals.agent.rank import Candidate, physics_fit, ranked
from approvals.agent.support import Support, best_support
from approvals.agent.timeline import Timeline
from approvals.canonical import iso_utc
from approvals.catalogue import KINDS, check_conditions
from approvals.catalogue.situation import Situation, needed_w
from approvals.prediction import predictions_make
from approvals.selectors import open_proposal_in_hall
from approvals.situations import asset_name, hall_of, situation_read
from facilities import selectors
from facilities.models import Alarm

# Passages fetched per action kind.
RETRIEVED = 8
PROCEDURES = ["eop", "sop", "mop"]
# How long the agent waits for the slowest source before it goes on with what is there (assumed).
SNAPSHOT_WAIT_S = 3.0


def gather(alarm: Alarm, timeline: Timeline) -> tuple[Situation, list[str]]:
    """The hall's situation and the facts about it in sentences."""
    tag = alarm.point.asset.tag
    with timeline.step(
        "gather", "Read the alarm and the hall", alarm=alarm.pk, point=alarm.point.tag
    ) as step:
        place = hall_of(tag)
        taken = selectors.snapshot(mode="complete", timeout_s=SNAPSHOT_WAIT_S, reader="agent")
        situation = situation_read(hall=place.hall if place else "", alarm=alarm, snapshot=taken)
        hidden = alarm.consequences.filter(cleared_at__isnull=True, suppressed=True)
        group = list(hidden.order_by("raised_at", "pk").values_list("point__tag", flat=True))
        sentences = [*explain.facts(alarm, situation), *explain.group_facts(group)]
        context = selectors.asset_context(tag=tag)
        others = selectors.open_alarms().exclude(pk=alarm.pk).values_list("point__tag", flat=True)
        step.output = {
            "facts": sentences,
            "snapshot": {
                "at": iso_utc(taken.at),
                "complete": taken.complete,
                "waited_s": round(taken.waited_s, 3),
                "waited_for": taken.slowest,
                "missing_sources": taken.missing,
            },
            "readings": len(situation.values),
            "connected": {
                link: [n.tag for n in near][:12] for link, near in context.neighbours.items()
            },
            "missing_cooling_w": round(needed_w(situation)) if situation.units else 0,
            "other_open_alarms": list(others[:20]),
            "consequences": group[:20],
        }
    return situation, sentences


def enumerate_actions(situation: Situation, timeline: Timeline) -> list[Candidate]:
    """Every action the catalogue offers now, its preconditions held against latest values."""
    with timeline.step("enumerate", "List possible actions, check their preconditions") as step:
        now, needed = timezone.now(), needed_w(situation)
        actions = [action for kind in KINDS.values() for action in kind.candidates(situation)]
        found = []
        for label, action in zip(_labels(len(actions)), actions, strict=True):
            kind = KINDS[action.kind]
            conditions = [c.as_dict() for c in kind.conditions(action, situation)]
            expectation = kind.effect(action, situation)
            found.append(
                Candidate(
                    label=label,
                    action=action,
                    title=kind.sentence(action, asset_name(action.target)),
                    risk=kind.risk,
                    checked=tuple(check_conditions(conditions, situation.values, now=now)),
                    expectation=expectation,
                    physics=physics_fit(relief_w=expectation.relief_w, needed_w=needed),
                    support=Support(0.0, None),
                )
            )
        step.output = {
            "kinds_considered": sorted(KINDS),
            "candidates": [
                {
                    "label": c.label,
                    "action": c.title,
                    "preconditions_hold": c.valid,
                    "failed": [k.detail for k in c.checked if not k.ok],
                    "relief_w": round(c.expectation.relief_w),
                }
                for c in found
            ],
        }
    return found


def find_support(alarm: Alarm, found: list[Candidate], timeline: Timeline) -> list[Candidate]:
    """Each candidate with the procedure step that instructs it, if retrieval finds one."""
    from rag.retrieval.search import search

    asset = alarm.point.asset
    supported: list[Candidate] = []
    for name in dict.fromkeys(c.action.kind for c in found):
        kind = KINDS[name]
        query = f"{asset.kind} {alarm.rule.name}: {kind.query}"
        with timeline.step(
            "retrieve", f"Look up procedures: {kind.title.lower()}", query=query
        ) as step:
            result = search(query=query, k=RETRIEVED, kinds=PROCEDURES)
            mine = [
                replace(
                    c,
                    support=best_support(
                        kind=kind,
                        action=c.action,
                        target_name=asset_name(c.action.target),
                        subject_words=(asset.tag, asset.name),
                        hits=result.hits,
                    ),
                )
                for c in found
                if c.action.kind == name
            ]
            supported += mine
            step.ok = not result.degraded
            step.output = {
                "passages": [
                    {
                        "document": h.document,
                        "section": h.section,
                        "step": h.step,
                        "score": round(h.score, 4),
                    }
                    for h in result.hits
                ],
                "instructing_step": next((c.as_dict()["step"] for c in mine if c.supported), ""),
                "degraded": result.degraded,
            }
    return supported


def predict(
    situation: Situation, candidates: list[Candidate], timeline: Timeline
) -> list[Candidate]:
    """Each candidate that may be proposed with what the twin expects of it, all from one run.

    Skipped when a proposal is open for the hall anyway. A twin that fails or is not fit only
    leaves its opinion out.
    """
    waiting = open_proposal_in_hall(hall=situation.hall)
    asked = [c for c in ranked(candidates)[:MAX_OPTIONS] if c.score > 0]
    with timeline.step(
        "predict", "Ask the twin what each would do", options=[c.label for c in asked]
    ) as step:
        if waiting is not None:
            step.output = {"skipped": f"proposal #{waiting.pk} is already open for this hall"}
            return candidates
        made = predictions_make(actions=[c.action for c in asked], situation=situation)
        by_label = dict(zip((c.label for c in asked), made, strict=True))
        found = [replace(c, prediction=by_label.get(c.label)) for c in candidates]
        problem = next((p["problem"] for p in made if p["problem"]), "")
        step.ok = not problem
        step.output = {
            "fit": made[0].get("fit", {}) if made else {},
            "used_for_ranking": any(c.predicted is not None for c in found),
            "predictions": {
                c.title: (c.prediction or {}).get("sentence", "") for c in found if c.prediction
            },
            "error": problem,
        }
    return found


def vote(
    situation: Situation, sentences: list[str], offered: list[Candidate], timeline: Timeline
) -> tuple[list[Candidate], bool]:
    """The candidates with the model's vote marked, and whether the model answered.

    Skipped when a proposal is open for the hall anyway: the answer could not change anything.
    """
    waiting = open_proposal_in_hall(hall=situation.hall)
    with timeline.step(
        "ask_model", "Ask the language model to choose", options=[c.label for c in offered]
    ) as step:
        if waiting is not None:
            step.output = {"skipped": f"proposal #{waiting.pk} is already open for this hall"}
            return offered, False
        choice = choose(facts=sentences, candidates=offered)
        first = ranked(offered)[0]
        step.ok = not choice.error
        step.output = {
            "choice": choice.label,
            "chosen_action": next(
                (c.title for c in offered if c.label == choice.label), choice.label
            ),
            "agrees_with_ranking": choice.label == first.label,
            "first_without_model": first.title,
            "model": choice.model,
            "tokens": [choice.prompt_tokens, choice.completion_tokens],
            "answer": choice.raw,
            "error": choice.error,
        }
    if choice.error or choice.label == NONE:
        return offered, not choice.error
    return [replace(c, voted=c.label == choice.label) for c in offered], True


def decide(candidates: list[Candidate], with_model: bool, timeline: Timeline) -> Candidate:
    """The best candidate by score. The model's vote is one part of the score, never a veto."""
    with timeline.step("decide", "Rank and decide", with_model=with_model) as step:
        order = ranked(candidates)
        step.output = {"ranking": [c.as_dict() for c in order], "chosen": order[0].title}
    return order[0]


def _labels(count: int) -> list[str]:
    """A, B, … Z, A2, B2, …"""
    return [ascii_uppercase[i % 26] + ("" if i < 26 else str(i // 26 + 1)) for i in range(count)]
