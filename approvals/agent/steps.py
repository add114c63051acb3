"""The agent's steps between the facts and a ranking: enumerate, look up, predict, ask the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from string import ascii_uppercase

from approvals.agent.causes.base import Hypothesis
from approvals.agent.choose import MAX_OPTIONS, NONE, choose
from approvals.agent.facts import Facts
from approvals.agent.orders import with_orders
from approvals.agent.rank import (
    HARMLESS,
    Candidate,
    beats_nothing,
    fit_of,
    nothing_row,
    physics_fit,
    ranked,
)
from approvals.agent.support import Passage, Support, best_support
from approvals.agent.threat import COOLING
from approvals.agent.views import offered
from approvals.agent.world import Answer, World
from approvals.catalogue import KINDS, Action, check_conditions
from approvals.catalogue.situation import needed_w
from approvals.prediction import predictions_make

# Rows of the ranking that the timeline keeps, besides the work orders.
SHOWN = 12
# Passages fetched per action kind.
RETRIEVED = 8
PROCEDURES = ["eop", "sop", "mop"]
# Kinds that are never the agent's own idea: a rollback follows an execution, and a procedure as a
# whole is for people to start.
NOT_OFFERED = frozenset({"roll_back", "run_procedure"})


def enumerate_actions(facts: Facts, causes: Sequence[Hypothesis], world: World) -> list[Candidate]:
    """Every action the catalogue offers now that helps against a cause, its preconditions held
    against the snapshot.
    """
    with world.think("enumerate", "List possible actions, check their preconditions") as step:
        situation = facts.situation
        actions = with_orders(
            offered(facts, causes, without=NOT_OFFERED), facts=facts, causes=causes
        )
        needed = needed_w(situation)
        found, unfit = [], 0
        for action in actions:
            fit, against = fit_of(action.kind, action.target, causes)
            if fit <= 0:
                unfit += 1
                continue
            found.append(_candidate(action, facts, world, needed, fit=fit, against=against))
        found.sort(key=lambda c: (not c.valid, -c.merit))
        found = [
            replace(c, label=label) for c, label in zip(found, _labels(len(found)), strict=True)
        ]
        step.output = {
            "kinds_considered": sorted(set(KINDS) - NOT_OFFERED),
            "fit_no_cause": unfit,
            "candidates": [
                {
                    "label": c.label,
                    "action": c.title,
                    "preconditions_hold": c.valid,
                    "failed": c.failed,
                    "relief_w": round(c.expectation.relief_w),
                    "against": c.against,
                }
                for c in found[:40]
            ],
        }
    return found


def _candidate(
    action: Action,
    facts: Facts,
    world: World,
    needed: float,
    *,
    fit: float,
    against: Hypothesis | None,
) -> Candidate:
    kind, situation = KINDS[action.kind], facts.situation
    conditions = [c.as_dict() for c in kind.conditions(action, situation)]
    expectation = kind.effect(action, situation)
    return Candidate(
        label="",
        action=action,
        title=kind.sentence(action, facts.name(action.target)),
        risk=kind.risk,
        checked=tuple(check_conditions(conditions, situation.values, now=world.now)),
        expectation=expectation,
        physics=physics_fit(relief_w=expectation.relief_w, needed_w=needed),
        support=Support(0.0, None),
        fit=fit,
        against=against.text if against else "",
        cools=against is None or against.domain in COOLING,
        busy=_busy(action, facts),
    )


def _busy(action: Action, facts: Facts) -> str:
    """Why an action that moves something may not be taken now: people work there."""
    if action.kind in HARMLESS:
        return ""
    written = (w.tag.rpartition(".")[0] for w in KINDS[action.kind].writes(action, facts.situation))
    tag = next((t for t in (action.target, *written) if t in facts.worked_on), "")
    return f"people work on {facts.name(tag)}: {facts.worked_on[tag]}" if tag else ""


def find_support(
    facts: Facts, causes: Sequence[Hypothesis], found: list[Candidate], world: World
) -> list[Candidate]:
    """Each candidate with the procedure step that instructs it, if retrieval finds one.

    Kinds are looked up in the order of their best candidate, so that a spent budget leaves out the
    least.
    """
    occasion, leading = facts.occasion, causes[0]
    subjects = tuple(dict.fromkeys((leading.asset, facts.name(leading.asset), occasion.asset)))
    supported: list[Candidate] = []
    for name in dict.fromkeys(c.action.kind for c in found):
        kind = KINDS[name]
        query = f"{occasion.asset_kind} {occasion.what}: {kind.query}"
        if name in HARMLESS:
            query = f"{occasion.what}: {leading.text}. {kind.query}"
        queries = [query, kind.query] if name in HARMLESS else [query]
        answer = world.ask(
            "retrieve",
            f"Look up procedures: {kind.title.lower()}",
            given={"query": query},
            live=lambda queries=queries: _passages(queries),  # type: ignore[misc]
            default={"passages": [], "degraded": ""},
            show=_show_passages,
        )
        passages = [Passage(*row) for row in answer["passages"]]
        mine = [
            replace(
                c,
                support=best_support(
                    kind=kind,
                    action=c.action,
                    target_name=facts.name(c.action.target),
                    subject_words=subjects,
                    hits=passages,
                ),
            )
            for c in found
            if c.action.kind == name
        ]
        supported += mine
        step = world.timeline.steps[-1]
        step["output"]["instructing_step"] = next(
            (c.as_dict()["step"] for c in mine if c.supported), ""
        )
    return supported


def _passages(queries: Sequence[str]) -> Answer:
    """The passages of all queries, each once, the first query's first."""
    from rag.retrieval.search import search

    found: dict[int, Passage] = {}
    degraded = ""
    for query in queries:
        result = search(query=query, k=RETRIEVED, kinds=PROCEDURES)
        degraded = degraded or result.degraded
        for hit in result.hits:
            found.setdefault(hit.passage_id, Passage.of(hit))
    return {
        "passages": [list(passage) for passage in found.values()],
        "degraded": degraded,
        "problem": degraded,
    }


def _show_passages(answer: Answer) -> Answer:
    found = [Passage(*row) for row in answer["passages"]]
    return {
        "passages": [
            {"document": p.document, "section": p.section, "step": p.step, "score": p.score}
            for p in found
        ],
        "degraded": answer["degraded"],
    }


def predict(facts: Facts, candidates: list[Candidate], world: World) -> list[Candidate]:
    """Each candidate that may be proposed with what the twin expects of it, all from one run.

    A twin that fails or is not fit only leaves its opinion out.
    """
    asked = [
        c
        for c in ranked(candidates)
        if c.score > 0 and c.expectation.tag and c.action.kind not in HARMLESS
    ][:MAX_OPTIONS]
    if not asked:
        return candidates
    answer = world.ask(
        "predict",
        "Ask the twin what each would do, and doing nothing",
        given={"options": [c.title for c in asked]},
        live=lambda: _predictions([c.action for c in asked], facts),
        default={"made": [{"problem": "the twin was not asked"} for _ in asked]},
        show=lambda a: _show_predictions(a, asked),
    )
    by_label = dict(zip((c.label for c in asked), answer["made"], strict=True))
    return [replace(c, prediction=by_label.get(c.label)) for c in candidates]


def _predictions(actions: list[Action], facts: Facts) -> Answer:
    made = predictions_make(actions=actions, situation=facts.situation)
    problems = [p["problem"] for p in made if p["problem"]]
    return {"made": made, "problem": problems[0] if len(problems) == len(made) else ""}


def _show_predictions(answer: Answer, asked: Sequence[Candidate]) -> Answer:
    made = answer["made"]
    with_it = [replace(c, prediction=p) for c, p in zip(asked, made, strict=True)]
    return {
        "fit": next((p["fit"] for p in made if p.get("fit")), {}),
        "used_for_ranking": any(c.predicted is not None for c in with_it),
        "predictions": {c.title: (c.prediction or {}).get("sentence", "") for c in with_it},
        "worse_than_nothing": {c.title: c.worse for c in with_it if c.worse},
        "nothing": nothing_row(with_it)["prediction"],
        "error": answer.get("problem", ""),
    }


def vote(
    sentences: list[str], candidates: list[Candidate], world: World
) -> tuple[list[Candidate], bool]:
    """The candidates with the model's vote marked, and whether the model answered."""
    options = ranked(candidates)[:MAX_OPTIONS]
    first = options[0]
    titles = {c.label: c.title for c in options}

    def show(answer: Answer) -> Answer:
        return {
            **answer,
            "chosen_action": titles.get(answer["choice"], answer["choice"]),
            "agrees_with_ranking": answer["choice"] == first.label,
            "first_without_model": first.title,
        }

    answer = world.ask(
        "ask_model",
        "Ask the language model to choose",
        given={"options": titles},
        live=lambda: _chosen(sentences, options),
        default={"choice": "", "answer": "", "model": "", "tokens": [0, 0], "error": "not asked"},
        show=show,
    )
    choice, error = answer["choice"], answer["error"]
    if error or choice == NONE:
        return candidates, not error
    return [replace(c, voted=c.label == choice) for c in candidates], True


def _chosen(sentences: list[str], options: list[Candidate]) -> Answer:
    choice = choose(facts=sentences, candidates=options)
    return {
        "choice": choice.label,
        "answer": choice.raw,
        "model": choice.model,
        "tokens": [choice.prompt_tokens, choice.completion_tokens],
        "error": choice.error,
        "problem": choice.error,
    }


def decide(candidates: list[Candidate], with_model: bool, world: World) -> Candidate | None:
    """The best candidate by score if it is worth more than doing nothing, else None.

    The model's vote is one part of the score, never a veto.
    """
    with world.think("decide", "Rank and decide", with_model=with_model) as step:
        order, nothing = ranked(candidates), nothing_row(candidates)
        best = next((c for c in order if beats_nothing(c, nothing)), None)
        shown = (c for n, c in enumerate(order) if n < SHOWN or c.action.kind in HARMLESS)
        rows = [*(c.as_dict() for c in shown), nothing]
        step.output = {
            "ranking": sorted(rows, key=lambda row: -row["score"]),
            "chosen": best.title if best else nothing["action"],
            "nothing": nothing,
        }
    return best


def _labels(count: int) -> list[str]:
    """A, B, … Z, A2, B2, …"""
    return [ascii_uppercase[i % 26] + ("" if i < 26 else str(i // 26 + 1)) for i in range(count)]
