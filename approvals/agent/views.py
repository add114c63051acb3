"""The situation as an alarm at a cause's own equipment would show it.

A kind offers what the subject of an alarm asks for. A cause may ask for it somewhere else: a CDU
that tripped wants load off the rack that it cools.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from approvals.agent.causes.base import Hypothesis
from approvals.agent.facts import Facts
from approvals.catalogue import KINDS, Action
from approvals.catalogue.situation import Situation

# The quantity whose alarm makes a kind offer itself at its target.
ASKS_FOR = {
    "shed_rack_load": "temp_c",
    "migrate_rack_load": "temp_c",
    "set_gpu_power_cap": "temp_c",
    "drain_node": "xid",
    "cordon_node": "xid",
    "reset_node": "xid",
    "disable_link": "error_rate",
    "transfer_ups_to_bypass": "on_battery",
}
# Causes whose equipment is asked about; those below this likelihood are not (assumed).
CAUSES, LEAST = 3, 0.15


def offered(facts: Facts, causes: Sequence[Hypothesis], *, without: frozenset[str]) -> list[Action]:
    """Every action of the catalogue, each once: for the occasion, and at the causes' remedies."""
    found: dict[str, Action] = {}
    for kind in KINDS.values():
        if kind.name not in without:
            for action in kind.candidates(facts.situation):
                found.setdefault(_key(action), action)
    for name, view in _views(facts, causes):
        if name not in without:
            for action in KINDS[name].candidates(view):
                found.setdefault(_key(action), action)
    return list(found.values())


def _views(facts: Facts, causes: Sequence[Hypothesis]) -> Iterator[tuple[str, Situation]]:
    for cause in causes[:CAUSES]:
        if cause.likelihood < LEAST:
            continue
        for remedy in sorted(cause.remedies):
            name, _, target = remedy.partition("@")
            thing = facts.things.get(target)
            if thing is None or name not in ASKS_FOR or name not in KINDS:
                continue
            yield (
                name,
                replace(
                    facts.situation,
                    subject=target,
                    subject_kind=thing.kind,
                    subject_rack=target if thing.kind == "rack" else thing.rack,
                    quantity=ASKS_FOR[name],
                ),
            )


def _key(action: Action) -> str:
    return f"{action.kind} {action.target} {sorted(action.params.items())!r}"
